"""Real git repositories, made by tests."""

import os
import subprocess

IDENTITY = {
    "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@localhost", "GIT_CONFIG_SYSTEM": os.devnull,
}  # fmt: skip


class Repository:
    """A checkout in a folder of its own, on branch `main`."""

    def __init__(self, path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments):
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, capture_output=True, text=True, env={**os.environ, **IDENTITY}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, name, text):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, message="a change", **files):
        """Commits everything; `files` maps names (`__` for `/`, no suffix: `.py`) to what is written first."""
        for name, text in files.items():
            self.write(name.replace("__", "/") + ".py", text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")
