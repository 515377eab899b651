"""The plan of the house, held. A folder imports only from folders on a lower floor; see docs/architecture.md."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[1]

FLOORS = {
    "bench/__main__.py": 9,
    "bench/cli": 8,
    "bench/api.py": 7,
    "bench/compare": 6,
    "bench/sweep": 5,
    "bench/report": 5,
    "bench/gate": 5,
    "bench/tracking": 5,
    "bench/analysis": 4,
    "bench/verdicts": 4,
    "bench/watcher.py": 4,
    "bench/experiment": 3,
    "bench/records": 3,
    "bench/machine": 3,
    "bench/gate/sides": 3,
    "bench/statistics": 2,
    "bench/text": 2,
    "bench/errors.py": 2,
    "bench/measure": 2,
    "bench/__init__.py": 1,
    "lenet": 1,
}
"""Where each folder stands. Files of one folder may import each other; folders of one floor may not."""

ALLOWED = {("bench/compare", "bench/tracking")}
"""`lenet-bench compare mlflow:RUN_ID` reads a side from MLflow."""

HOMES = {
    "torch": {"lenet", "bench/measure", "bench/gate/sides", "bench/sweep/worker.py", "bench/sweep/fork_server.py",
              "bench/tracking/champion.py"},
    "torchvision": {"lenet/vision.py"},
    "sklearn": {"lenet"},
    "mlflow": {"bench/tracking"},
    "pandas": {"bench/analysis", "bench/api.py", "bench/compare", "bench/report"},
    "scipy": {"bench/statistics"},
    "pydantic": {"bench/experiment", "bench/gate/stored.py"},
    "pytest": {"bench/gate/sides/pytest_side.py"},
    "typer": {"bench/cli"},
    "rich": {"bench/cli", "bench/report"},
    "matplotlib": {"bench/report"},
    "jinja2": {"bench/report"},
}  # fmt: skip
"""The only folders and files that may import what is slow to import."""

INSIDE_FUNCTIONS = {"torchvision", "sklearn", "mlflow", "matplotlib", "jinja2"}
"""Imported only when needed, not with the module."""

RUN_AS_COMMANDS = {"bench/__main__.py", "bench/cli", "bench/sweep/worker.py", "bench/sweep/fork_server.py",
                   "bench/tracking/worker.py", "bench/gate/sides", "lenet/vision.py"}  # fmt: skip
"""The only places that may end the process."""

FILES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for package in ("bench", "lenet")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def home(file, places):
    """The longest entry of `places` that a file is or lies in, or None."""
    fitting = [place for place in places if file == place or file.startswith(f"{place}/")]
    return max(fitting, key=len, default=None)


def only_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(file):
    """(module, inside a function?) for everything that a file imports, but for what only the type checker sees."""
    package = file.removesuffix(".py").split("/")[:-1]
    found = []

    def visit(node, inside):
        if only_for_types(node):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            found.extend((f"{module}.{alias.name}", inside) for alias in node.names)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(FILES[file], False)
    return found


def file_of(module):
    """The file of our own that a dotted name means, or None."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end])
        for file in (f"{path}.py", f"{path}/__init__.py"):
            if file in FILES:
                return file
    return None


def test_every_file_stands_on_a_floor():
    assert [file for file in FILES if home(file, FLOORS) is None and file.count("/") > 1] == []
    assert [place for place in FLOORS if not (ROOT / place).exists()] == []


def test_every_folder_of_modules_and_every_data_file_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = setuptools.find_packages(str(ROOT), include=settings["packages"]["find"]["include"])
    files = [path for package in ("bench", "lenet") for path in (ROOT / package).rglob("*.*") if path.is_file()]
    folders = {path.parent for path in files if path.suffix == ".py"}
    assert sorted(packages) == sorted(".".join(folder.relative_to(ROOT).parts) for folder in folders)
    suffixes = {path.suffix for path in files} - {".py", ".pyc"}
    assert {f"*{suffix}" for suffix in suffixes} <= set(settings["package-data"]["*"])


@pytest.mark.parametrize("file", FILES)
def test_imports_run_to_lower_floors(file):
    here = home(file, FLOORS)
    for module, _ in imports(file):
        if module.partition(".")[0] in ("bench", "lenet"):
            target = file_of(module)
            assert target, f"{file} imports {module}, which is not there"
            there = home(target, FLOORS)
            allowed = there == here or FLOORS[there] < FLOORS[here] or (here, there) in ALLOWED
            if target.endswith("/__init__.py") and target.count("/") > 1:
                continue  # a package's head holds nothing
            assert allowed, f"{file} (floor {FLOORS[here]}) imports {module} ({there}, floor {FLOORS[there]})"


@pytest.mark.parametrize("file", [file for file in FILES if home(file, ["bench/measure", "bench/gate/sides"])])
def test_what_a_judged_process_loads_names_nothing_of_bench(file):
    """It is imported as part of a package `judge`, so that the judged tree may hold another bench, or none."""
    named = [
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(FILES[file])
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level == 0)
        for alias in node.names
    ]
    assert [name for name in named if name.partition(".")[0] == "bench"] == []
    targets = {file_of(module) for module, _ in imports(file)} - {None}
    ours = {home(target, FLOORS) for target in targets if not target.endswith("__init__.py")}
    assert ours <= {"bench/measure", "bench/gate/sides", "lenet"}


def test_others_import_by_whole_names():
    relative = {
        file
        for file, tree in FILES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    }
    assert {home(file, FLOORS) for file in relative} <= {"bench/measure", "bench/gate/sides"}


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_stay_at_home(library):
    users = {file: inside for file in FILES for module, inside in imports(file) if module.partition(".")[0] == library}
    assert users or library == "torchvision", f"nobody imports {library}"  # lenet/vision.py asks importlib for it
    assert [file for file in users if home(file, HOMES[library]) is None] == []
    if library in INSIDE_FUNCTIONS:
        assert all(users.values()), f"{library} is imported with the module"


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("bench/cli/")])
def test_the_command_line_imports_only_typer_before_it_knows_the_command(file):
    if file in ("bench/cli/terminal.py", "bench/cli/doctor.py"):  # imported inside the commands that need them
        return
    early = {module.partition(".")[0] for module, inside in imports(file) if not inside}
    assert early - {*sys.stdlib_module_names, "bench"} <= {"typer"}


@pytest.mark.parametrize("file", [file for file in FILES if home(file, RUN_AS_COMMANDS) is None])
def test_only_commands_end_the_process(file):
    calls = {ast.unparse(node.func) for node in ast.walk(FILES[file]) if isinstance(node, ast.Call)}
    assert not calls & {"sys.exit", "exit", "quit", "os._exit", "SystemExit"}


def test_modules_are_named_for_what_they_do():
    vague = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc", "core"}
    assert [file for file in FILES if vague & set(Path(file).stem.split("_"))] == []


HEAVY = ("torch", "torchvision", "mlflow", "pandas", "matplotlib", "pyarrow", "sklearn")


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], (*HEAVY, "numpy", "scipy")),
        (["run", "--help"], (*HEAVY, "numpy", "scipy")),
        (["plan", "experiments/quick.toml"], HEAVY),
        (["runs"], HEAVY),
    ],
)
def test_a_command_loads_only_what_it_needs(arguments, absent):
    script = f"""
import sys
import tomllib
from bench.__main__ import main
sys.argv[1:] = {arguments!r}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sorted(name for name in sys.modules if "." not in name))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "bench" in loaded
    assert sorted(loaded & set(absent)) == []


def test_what_the_parent_process_loads_for_a_sweep_and_its_products_has_no_torch():
    script = """
import sys, importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted(name for name in sys.modules if "." not in name))
"""
    parents = ["bench.sweep.sweep", "bench.sweep.start", "bench.cli.terminal", "bench.report.files",
               "bench.tracking.sync", "bench.cli.doctor"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, *parents], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert not {"torch", "torchvision", "mlflow", "matplotlib"} & set(done.stdout.split())
