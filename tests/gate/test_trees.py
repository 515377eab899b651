"""Two revisions side by side, from real repositories: which commits, which files, and nothing left behind."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from fakes.git_repository import Repository

from bench.errors import TreesError
from bench.gate.trees import PREFIX, SIDES, dependency_change, open_trees


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """A temporary folder of this test's own, so that what is left behind is seen."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "checkout")
    made.commit(net="one = 1\n", part__other="two = 2\n")
    return made


def files(tree):
    return {str(path.relative_to(tree)): path.read_text() for path in sorted(tree.rglob("*.py"))}


def test_base_is_where_head_left_the_main_branch(repository, scratch):
    fork = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "-q", "-b", "feature")
    head = repository.commit(net="one = 11\n")
    repository.git("checkout", "-q", "main")
    repository.commit(net="one = 111\n")
    for base in (None, "main"):
        with open_trees(repository.path, base, "feature") as trees:
            assert trees.commits == {"base": fork, "head": head}
            assert files(trees.path("base"))["net.py"] == "one = 1\n"
            assert files(trees.path("head")) == {"net.py": "one = 11\n", "part/other.py": "two = 2\n"}
            assert not trees.dirty
            assert trees.pythons == dict.fromkeys(SIDES, sys.executable)
    assert list(scratch.iterdir()) == []


def test_it_works_from_a_folder_inside_the_checkout_and_leaves_git_as_it_was(repository):
    before = repository.git("worktree", "list"), repository.git("status", "--porcelain"), repository.git("branch")
    with open_trees(repository.path / "part", "main", "HEAD") as trees:
        assert trees.repository == repository.path.resolve()
    assert before == (
        repository.git("worktree", "list"), repository.git("status", "--porcelain"), repository.git("branch"),
    )  # fmt: skip


def test_the_working_tree_is_head_with_untracked_changed_and_deleted_files(repository):
    commit = repository.git("rev-parse", "HEAD")
    repository.write(".gitignore", "*.log\n")
    repository.write("net.py", "one = 'changed'\n")
    repository.write("new.py", "three = 3\n")
    repository.write("noise.log", "ignored\n")
    (repository.path / "part" / "other.py").unlink()
    (repository.path / "link.py").symlink_to("new.py")
    with open_trees(repository.path, "main", ".") as trees:
        assert trees.dirty
        assert trees.commits == {"base": commit, "head": commit}
        head = trees.path("head")
        assert files(head) == {"link.py": "three = 3\n", "net.py": "one = 'changed'\n", "new.py": "three = 3\n"}
        assert (head / "link.py").is_symlink()
        assert not (head / "noise.log").exists()
        assert files(trees.path("base")) == {"net.py": "one = 1\n", "part/other.py": "two = 2\n"}


def test_a_clean_working_tree_is_not_dirty(repository):
    with open_trees(repository.path, "main", ".") as trees:
        assert not trees.dirty
        assert files(trees.path("head")) == files(trees.path("base"))


def test_a_change_that_is_staged_only_is_a_change(repository):
    repository.write("net.py", "one = 5\n")
    repository.git("add", "net.py")
    with open_trees(repository.path, "main", ".") as trees:
        assert trees.dirty


def test_names_that_are_no_ascii_and_hold_spaces(repository):
    repository.write("föld er/ä b.py", "x = 1\n")
    with open_trees(repository.path, "main", ".") as trees:
        assert files(trees.path("head"))["föld er/ä b.py"] == "x = 1\n"


def test_paths_are_equally_long_and_links_are_swapped(repository):
    repository.git("checkout", "-q", "-b", "feature")
    repository.commit(net="one = 11\n")
    with open_trees(repository.path, "main", ".") as trees:
        assert len(str(trees.path("base"))) == len(str(trees.path("head")))
        seen = {}
        for left in SIDES:
            links = {side: trees.link(side, left) for side in SIDES}
            assert len(str(links["base"])) == len(str(links["head"]))
            assert links["base"] != links["head"]
            for side, link in links.items():
                assert link.resolve() == trees.path(side).resolve()
            seen[left] = links
        assert seen["base"]["base"] == seen["head"]["head"]
        assert seen["base"]["head"] == seen["head"]["base"]


def test_both_sides_are_compiled_before_anything_runs(repository):
    with open_trees(repository.path, "main", ".") as trees:
        for side in SIDES:
            assert {path.name.partition(".")[0] for path in trees.path(side).rglob("*.pyc")} == {"net", "other"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_exception(repository, scratch, error):
    seen = []

    def fail():
        with open_trees(repository.path, "main", ".") as trees:
            seen.append(trees.folder)
            raise error

    with pytest.raises(error):
        fail()
    assert seen[0].name.startswith(PREFIX)
    assert seen[0].parent == scratch
    assert list(scratch.iterdir()) == []


def test_what_the_removal_itself_leaves_is_removed_at_the_end(repository, scratch):
    script = f"""
import shutil, tempfile
from pathlib import Path
from bench.gate import trees
tempfile.tempdir = {str(scratch)!r}
remove = shutil.rmtree
def interrupted(*_, **__):
    shutil.rmtree = remove
    raise KeyboardInterrupt
with trees.open_trees(Path({str(repository.path)!r}), "main", "."):
    shutil.rmtree = interrupted
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "KeyboardInterrupt" in done.stderr
    assert list(scratch.iterdir()) == []


# ---- what cannot be compared -------------------------------------------------------------------------------------


def refused(start, base, head="HEAD", **options):
    with pytest.raises(TreesError) as caught, open_trees(start, base, head, **options):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_revision_is_named(repository, scratch):
    assert refused(repository.path, "nowhere").startswith("nowhere: no such revision in")
    assert refused(repository.path, "main", "nohead").startswith("nohead: no such revision in")
    assert "no such revision" in refused(repository.path, "--all")
    assert list(scratch.iterdir()) == []


def test_no_checkout_and_no_commit(tmp_path):
    (tmp_path / "plain").mkdir()
    assert "not in a git checkout" in refused(tmp_path / "plain", "main")
    Repository(tmp_path / "empty")
    assert "no such revision" in refused(tmp_path / "empty", None, ".")


def test_no_main_branch_and_no_common_ancestor(repository):
    repository.git("checkout", "-q", "--orphan", "alone")
    repository.commit(net="x = 1\n")
    assert "no common ancestor" in refused(repository.path, "main")
    repository.git("branch", "-D", "main")
    assert "say what to compare with: --base REV" in refused(repository.path, None)


def test_without_git(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = refused(repository.path, "main")
    assert "not in a git checkout" in message or "git cannot be run" in message


PROJECT = '[project]\nname = "x"\ndependencies = [{}]\n'


def test_other_dependencies_are_refused(repository, scratch):
    repository.write("constraints.txt", "torch==2.6\n")
    repository.write("pyproject.toml", PROJECT.format('"torch"'))
    repository.commit()
    repository.git("checkout", "-q", "-b", "feature")
    repository.write("constraints.txt", "torch==2.7\n")
    assert refused(repository.path, "main", ".").startswith("constraints.txt differs between base and head")
    repository.git("checkout", "-q", ".")
    repository.write("pyproject.toml", PROJECT.format('"torch", "numpy"'))
    assert refused(repository.path, "main", ".").startswith("dependencies in pyproject.toml differs")
    assert list(scratch.iterdir()) == []
    repository.write("pyproject.toml", PROJECT.format('"torch"') + 'version = "2"\n')
    with open_trees(repository.path, "main", "."):
        pass


@pytest.mark.parametrize("text", ["not = [toml", "# caf\xe9", "project = 3", "[[project]]", "project.name = 3"])
def test_dependencies_that_cannot_be_read_are_no_difference(tmp_path, text):
    for side in SIDES:
        (tmp_path / side).mkdir()
    (tmp_path / "base" / "pyproject.toml").write_text(text, encoding="latin-1")
    (tmp_path / "base" / "constraints.txt").write_text("# caf\xe9", encoding="latin-1")
    (tmp_path / "head" / "constraints.txt").write_text("# caf\xe9", encoding="latin-1")
    assert dependency_change(tmp_path / "base", tmp_path / "head") == ""


def test_a_mark_of_the_byte_order_is_no_difference_and_hides_none(tmp_path):
    for side, mark, package in (("base", "", "torch"), ("marked", "\ufeff", "torch"), ("head", "\ufeff", "numpy")):
        (tmp_path / side).mkdir()
        text = mark + f'[project]\ndependencies = ["{package}"]\n'
        (tmp_path / side / "pyproject.toml").write_text(text, encoding="utf-8")
    assert dependency_change(tmp_path / "base", tmp_path / "marked") == ""
    assert dependency_change(tmp_path / "base", tmp_path / "head") == "dependencies in pyproject.toml"


def test_an_environment_that_cannot_be_built_ends_in_one_line(repository, scratch, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    repository.git("checkout", "-q", "-b", "feature")
    repository.write("constraints.txt", "torch==2.7\n")
    message = refused(repository.path, "main", ".", allow_dependency_change=True)
    assert message.startswith("an environment for base could not be built: ")
    assert list(scratch.iterdir()) == []


def test_a_full_disk_leaves_nothing(repository, scratch):
    """In a process of its own, whose files may be of 4 KiB at most."""
    repository.commit(large="x = 1\n" * 10_000)
    script = f"""
import resource, signal, tempfile
from pathlib import Path
from bench.gate.trees import open_trees
tempfile.tempdir = {str(scratch)!r}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with open_trees(Path({str(repository.path)!r}), "main", "HEAD"):
        print("opened")
except OSError as error:
    print(type(error).__name__, error.errno)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["OSError", "27"], done.stderr
    assert list(Path(scratch).iterdir()) == []
