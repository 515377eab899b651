"""The plan of the house, held: imports run downward, heavy libraries have one home, and only entry points exit."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LAYERS = (
    ("bench.__main__",),
    ("bench.cli",),
    ("bench.tracking_cli", "bench.tracking_worker"),
    ("bench.imported", "bench.products"),
    ("bench.gate_cli", "bench.page", "bench.tracking"),
    ("bench.compare_cli", "bench.gate_report", "bench.report", "bench.self_test", "bench.sweep_run"),
    ("bench.gate_run", "bench.history", "bench.model", "bench.replica", "bench.runs", "bench.sending", "bench.sources"),
    (
        "bench.baseline", "bench.compare", "bench.entry", "bench.forkserver", "bench.gate", "bench.injection",
        "bench.instructions", "bench.plots", "bench.pytest_suite", "bench.runner",
    ),
    (
        "bench.claims", "bench.doctor", "bench.effects", "bench.gate_accuracy", "bench.pairs", "bench.side",
        "bench.table", "bench.timing_stage", "bench.tracker", "bench.verdict_files", "bench.views",
        "bench.worker",
    ),
    (
        "bench.draws", "bench.experiment", "bench.formats.bencher", "bench.formats.github_action",
        "bench.formats.junit", "bench.formats.markdown", "bench.formats.own_json", "bench.formats.pytest_benchmark",
        "bench.formats.text", "bench.gate_settings", "bench.launch", "bench.log_time", "bench.pair_worker",
        "bench.progress", "bench.rejection", "bench.server", "bench.timing", "bench.weights",
    ),
    (
        "bench.collector", "bench.formats", "bench.formats.numbers", "bench.injection_worker",
        "bench.instructions_worker", "bench.machine", "bench.pytest_worker", "bench.record", "bench.statistics",
        "bench.store", "bench.trees", "bench.trial", "bench.verdict",
    ),
    ("bench.errors",),
    ("bench", "lenet"),
    ("lenet.baselines", "lenet.extensions"),
    ("lenet.networks", "lenet.training"),
    ("lenet.classic", "lenet.step"),
    ("lenet.data", "lenet.initialize", "lenet.sdlm"),
    ("lenet.files", "lenet.layers", "lenet.rejection", "lenet.schedule"),
    ("lenet.variant",),
    ("lenet.architectures", "lenet.augmentation", "lenet.errors", "lenet.losses", "lenet.vision"),
)  # fmt: skip
"""From the top down. A module imports only from layers below its own; every module has its place here."""

HOMES = {
    "torch": {
        "bench.forkserver", "bench.instructions_worker", "bench.model", "bench.pair_worker", "bench.timing",
        "bench.worker", "lenet.augmentation", "lenet.baselines", "lenet.classic", "lenet.data", "lenet.initialize",
        "lenet.layers", "lenet.losses", "lenet.networks", "lenet.rejection", "lenet.sdlm", "lenet.step",
        "lenet.training", "lenet.vision",
    },
    "torchvision": {"lenet.vision"},
    "sklearn": {"lenet.baselines", "lenet.files"},
    "mlflow": {"bench.model", "bench.sending", "bench.store", "bench.sweep_run"},
    "pandas": {
        "bench.effects", "bench.page", "bench.plots", "bench.products", "bench.report", "bench.side", "bench.table",
    },
    "scipy": {"bench.log_time", "bench.statistics"},
    "pydantic": {"bench.experiment", "bench.gate_run"},
    "pytest": {"bench.pytest_worker"},
    "typer": {"bench.tracking_cli", "bench.cli", "bench.compare_cli", "bench.gate_cli", "bench.verdict_files"},
    "rich": {"bench.cli", "bench.gate_cli", "bench.history", "bench.progress", "bench.report"},
    "matplotlib": {"bench.history", "bench.plots"},
    "jinja2": {"bench.page"},
}  # fmt: skip
"""Who may import what is slow to import, at all."""

ONLY_INSIDE_FUNCTIONS = {"torchvision", "sklearn", "mlflow", "matplotlib", "jinja2"}
ENTRY_POINTS = {
    "bench.__main__", "bench.cli", "bench.forkserver", "bench.gate_cli", "bench.injection_worker",
    "bench.instructions_worker", "bench.pair_worker", "bench.pytest_worker", "bench.tracking_worker",
    "bench.worker", "lenet.vision",
}  # fmt: skip
"""Modules that are run as commands, and may therefore end the process."""

TREES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_text())
    for package in ("bench", "lenet")
    for path in sorted((ROOT / package).rglob("*.py"))
}
PLACE = {module: place for place, layer in enumerate(LAYERS) for module in layer}


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(module):
    """(what is imported, whether inside a function) of a module, without what only the type checker sees."""
    found = []

    def visit(node, inside):
        if is_for_types(node):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append((whole if whole in TREES else node.module, inside))
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(TREES[module], False)
    return found


def test_every_module_has_a_layer_and_every_layer_its_modules():
    listed = [module for layer in LAYERS for module in layer]
    assert sorted(listed) == sorted(TREES)


def test_every_package_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [path.parent for package in ("bench", "lenet") for path in (ROOT / package).rglob("__init__.py")]
    assert sorted(listed) == sorted(".".join(folder.relative_to(ROOT).parts) for folder in folders)


@pytest.mark.parametrize("module", TREES)
def test_imports_run_downward(module):
    own = {target for target, _ in imports(module) if target.partition(".")[0] in ("bench", "lenet")}
    assert own <= set(TREES), f"{module} imports what is not there"
    # The package `lenet` hands out LeNet from above the modules that it is made of.
    place = -1 if module == "lenet" else PLACE[module]
    upward = sorted(target for target in own if PLACE[target] <= place)
    assert not upward, f"{module} imports upward: {upward}"


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_stay_at_home(library):
    users = {
        module: inside for module in TREES for target, inside in imports(module) if target.partition(".")[0] == library
    }
    assert set(users) <= HOMES[library]
    assert users or library in ("torchvision", "sklearn"), f"nobody imports {library}"
    if library in ONLY_INSIDE_FUNCTIONS:
        assert all(users.values()), f"{library} is imported with the module"


@pytest.mark.parametrize("module", sorted(HOMES["typer"]))
def test_the_command_line_imports_only_typer_before_it_knows_the_command(module):
    early = {target for target, inside in imports(module) if not inside}
    outside = {target for target in early if target.partition(".")[0] not in {*sys.stdlib_module_names, "bench"}}
    assert outside == {"typer"}


def test_nobody_imports_the_worker_but_the_fork_server():
    users = {module for module in TREES for target, _ in imports(module) if target == "bench.worker"}
    assert users == {"bench.forkserver"}


def calls(module):
    return [ast.unparse(node.func) for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("module", [module for module in TREES if module not in ENTRY_POINTS])
def test_only_entry_points_end_the_process(module):
    enders = {"sys.exit", "exit", "quit", "os._exit", "SystemExit"}
    assert not enders & set(calls(module))


def test_modules_are_named_for_what_they_do():
    vague = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc", "core"}
    assert not [module for module in TREES if vague & set(module.rpartition(".")[2].split("_"))]


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
    parents = ["bench.runner", "bench.runs", "bench.progress", "bench.products", "bench.tracking", "bench.doctor"]
    done = subprocess.run(
        [sys.executable, "-c", script, *parents], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert not {"torch", "torchvision", "mlflow", "matplotlib"} & set(done.stdout.split())
