"""Headless Chromium for the tests: where it is, how it is started, and what its console may say."""

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SCREENSHOTS = os.environ.get("LENET_BENCH_SCREENSHOTS")
"""A folder: the tests leave pictures of the pages there, for the README."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)")


def keep(page, name):
    """Keeps a picture of the page, if it was asked for: 256 colours, so that it is small."""
    if SCREENSHOTS:
        from PIL import Image

        path = Path(SCREENSHOTS) / f"{name}.png"
        page.screenshot(path=path)
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(128).save(path, optimize=True)
