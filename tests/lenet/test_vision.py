"""torchvision's import, in fresh processes: with a compiled part that loads, and with one that does not."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("torch")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )


def plain_import_works() -> bool:
    return run("import torchvision").returncode == 0


def test_it_imports_here_whatever_the_build() -> None:
    ended = run(
        """
        from lenet.vision import declared, import_torchvision
        first = import_torchvision()
        assert import_torchvision() is first and len(declared) <= 1
        import torchvision.datasets, torchvision.transforms
        assert torchvision.transforms.ToTensor() and torchvision.datasets.MNIST
        print(*(name for library in declared for name in library._op_defs))
        """
    )
    assert ended.returncode == 0, ended.stderr
    assert ("torchvision::nms" in ended.stdout.split()) is not plain_import_works()


def test_operators_are_declared_when_the_compiled_part_does_not_load() -> None:
    ended = run(
        """
        import torch
        from lenet import vision

        def fail(path):
            raise OSError(f"Could not load this library: {path}")

        torch.ops.load_library = fail
        vision.import_torchvision()
        assert len(vision.declared) == 1
        import torchvision.datasets
        """
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("brought", "declared"), [(("nms", "qnms"), []), (("nms",), ["qnms"])], ids=["0.28", "before 0.28"]
)
def test_only_what_the_compiled_part_does_not_bring_is_declared(brought: tuple[str, ...], declared: list[str]) -> None:
    ended = run(
        f"""
        import importlib
        import torch
        from lenet import vision

        kept = []

        def load(path):  # brings operators, as the compiled part does
            if not kept:
                kept.append(torch.library.Library("torchvision", "DEF"))
                for name in {brought!r}:
                    kept[0].define(name + vision.SCHEMA)

        torch.ops.load_library = load
        importlib.import_module = lambda name: name  # torchvision itself would ask for all that a real one brings
        assert vision.import_torchvision() == "torchvision"
        assert kept
        assert [name for library in vision.declared for name in library._op_defs] == [
            "torchvision::" + name for name in {declared!r}
        ]
        assert all(hasattr(torch.ops.torchvision, name) for name in vision.OPERATORS)
        """
    )
    assert ended.returncode == 0, ended.stderr


def test_without_torchvision_it_says_what_to_install() -> None:
    ended = run(
        """
        import sys
        import importlib.util
        importlib.util.find_spec = lambda name: None
        from lenet.vision import import_torchvision
        try:
            import_torchvision()
        except ImportError as error:
            assert "pip install torchvision" in str(error)
        else:
            sys.exit("imported")
        """
    )
    assert ended.returncode == 0, ended.stderr


def test_training_does_not_import_it() -> None:
    ended = run("import sys, lenet.training; sys.exit('torchvision' in sys.modules)")
    assert ended.returncode == 0
