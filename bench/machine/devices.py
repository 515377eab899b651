"""Whether the devices that trials ask for are there."""

from __future__ import annotations

from collections.abc import Iterable

from bench.machine.processes import ask


def check_devices(devices: Iterable[str]) -> str:
    """Why trials on CUDA cannot run here, or "" if they can or no device of them is CUDA."""
    if "cuda" not in devices:
        return ""
    answer = ask({"kind": "probe"})
    return "" if answer["cuda"] else str(answer["reason"])
