"""Lays out two revisions of one repository side by side, so that nothing but their content differs.

Both folders have paths of equal length, and so have two links that can be swapped in front of them. Nothing is run here
but git and a byte code compiler; leaving the context removes it all.
"""

from __future__ import annotations

import atexit
import compileall
import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import TreesError

WORKING_TREE = "."
PREFIX = "lenet-bench-gate-"
SIDES = ("base", "head")


@dataclass(frozen=True)
class Trees:
    """Two trees and what they are.

    **Arguments:**

    - `folder`: holds them; gone when the context ends. `commits`: full ids, by side.
    - `dirty`: whether head is a working tree with changes that are in no commit.
    - `pythons`: the interpreter of each side.
    """

    folder: Path
    repository: Path
    commits: dict[str, str]
    dirty: bool
    pythons: dict[str, str]

    def path(self, side: str) -> Path:
        """The tree of `base` or `head`."""
        return self.folder / "tree" / side

    def link(self, side: str, left: str) -> Path:
        """The path through which a side is run in one pair. `left` is the side that gets the first of two links: it is
        drawn pair by pair, so that no property of a path can be taken for one of its content.
        """
        link = self.folder / ("l" if side == left else "r")
        link.unlink(missing_ok=True)
        link.symlink_to(self.path(side), target_is_directory=True)
        return link


def git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises `TreesError` with its last line."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            errors="surrogateescape",
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # the checkout is only read
        )
    except OSError as error:
        raise TreesError(f"git cannot be run ({error.strerror}); it is needed to compare revisions") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise TreesError(f"git {arguments[0]}: {lines[-1]}")
    return done.stdout


def find_commit(repository: Path, revision: str) -> str:
    """A revision's full id. Raises `TreesError` for an unknown one."""
    try:
        return git(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    except TreesError as error:
        raise TreesError(f"{revision}: no such revision in {repository}; `git branch -a` lists branches") from error


def find_base(repository: Path, revision: str | None, head_commit: str) -> str:
    """The commit that head is compared with: where it left `revision`, or else the main branch."""
    if revision is None:
        candidates = ["origin/HEAD", "origin/main", "main", "origin/master", "master"]
        named = [name for name in candidates if _exists(repository, name)]
        if not named:
            raise TreesError("no main branch was found; say what to compare with: --base REV")
        revision = named[0]
    commit = find_commit(repository, revision)
    try:
        return git(repository, "merge-base", commit, head_commit).strip()
    except TreesError as error:
        raise TreesError(
            f"{revision} and the head have no common ancestor; a shallow clone? fetch its history"
        ) from error


def _exists(repository: Path, revision: str) -> bool:
    with contextlib.suppress(TreesError):
        return bool(find_commit(repository, revision))
    return False


def find_sides(start: Path, base: str | None, head: str) -> tuple[Path, dict[str, str]]:
    """The checkout that a folder lies in, and the commits of both sides. Raises `TreesError`; takes no time.

    **Arguments:** as of `open_trees`.
    """
    try:
        repository = Path(git(start, "rev-parse", "--show-toplevel").strip())
    except TreesError as error:
        raise TreesError(f"{start.resolve()}: not in a git checkout; the gate compares revisions of one") from error
    head_commit = find_commit(repository, "HEAD" if head == WORKING_TREE else head)
    return repository, {"base": find_base(repository, base, head_commit), "head": head_commit}


@contextlib.contextmanager
def open_trees(
    start: Path,
    base: str | None,
    head: str,
    *,
    allow_dependency_change: bool = False,
    packages: Sequence[str] = ("torch",),
) -> Iterator[Trees]:
    """Lays out both sides and takes them away again.

    **Arguments:**

    - `start`: a folder in the checkout. `base`: a revision; its merge base with head is taken. None: the main branch's.
    - `head`: a revision, or `.` for the working tree as it stands, untracked files included.
    - `allow_dependency_change`: build a second environment for base where its pinned dependencies differ from head's.
      `packages`: what goes into it first.

    Raises `TreesError`: no checkout, unknown revision, dependencies that differ.
    """
    repository, commits = find_sides(start, base, head)
    dirty = head == WORKING_TREE and bool(git(repository, "status", "--porcelain").strip())
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # for an interrupt that falls into the removal itself
    try:
        trees = Trees(folder, repository, commits, dirty, dict.fromkeys(SIDES, sys.executable))
        extract(repository, commits["base"], trees.path("base"))
        if head == WORKING_TREE:
            copy_working_tree(repository, trees.path("head"))
        else:
            extract(repository, commits["head"], trees.path("head"))
        if change := dependency_change(trees.path("base"), trees.path("head")):
            if not allow_dependency_change:
                raise TreesError(
                    f"{change} differs between base and head, so a difference in time could be the packages'; "
                    "with --allow-dependency-change base gets an environment of its own"
                )
            trees.pythons["base"] = build_environment(folder / "environment", trees.path("base"), packages)
        for side in SIDES:  # compiled before anything runs, so that no side pays for it
            compileall.compile_dir(trees.path(side), quiet=2, workers=1)
        yield trees
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        atexit.unregister(shutil.rmtree)


def extract(repository: Path, commit: str, folder: Path) -> None:
    """A commit's files, without a second checkout that git would have to be told to forget."""
    folder.mkdir(parents=True)
    with subprocess.Popen(["git", "archive", commit], cwd=repository, stdout=subprocess.PIPE) as archive:
        assert archive.stdout is not None
        try:
            with tarfile.open(fileobj=archive.stdout, mode="r|") as files:
                files.extractall(folder, filter="data")
        except tarfile.TarError as error:
            raise TreesError(f"git archive {commit[:12]}: its files cannot be unpacked ({error})") from error
    if archive.returncode:
        raise TreesError(f"git archive {commit[:12]} ended with code {archive.returncode}")


def copy_working_tree(repository: Path, folder: Path) -> None:
    """Every file that git tracks or does not ignore, as it is now."""
    for name in git(repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        source = repository / name
        if name and (source.is_file() or source.is_symlink()):  # deleted files are still listed
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def dependency_change(base: Path, head: Path) -> str:
    """What pins dependencies and differs: `constraints.txt`, the dependencies in `pyproject.toml`, or ""."""
    texts = [
        (path / "constraints.txt").read_bytes() if (path / "constraints.txt").exists() else b"" for path in (base, head)
    ]
    if texts[0] != texts[1]:
        return "constraints.txt"
    return "" if _dependencies(base) == _dependencies(head) else "dependencies in pyproject.toml"


def _dependencies(tree: Path) -> object:
    """The dependencies that pyproject.toml lists; None where there is no such list, or it cannot be read."""
    try:
        project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8-sig")).get("project")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    return project.get("dependencies") if isinstance(project, dict) else None


def build_environment(folder: Path, tree: Path, packages: Sequence[str]) -> str:
    """A virtual environment with a tree's own dependencies; returns its interpreter. Raises `TreesError`."""
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q"]
    if (tree / "constraints.txt").exists():
        install += ["-c", str(tree / "constraints.txt")]
    commands = [[sys.executable, "-m", "venv", str(folder)], [*install, *packages], [*install, str(tree)]]
    for command in commands:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""}
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise TreesError(f"an environment for base could not be built: {last}")
    return python
