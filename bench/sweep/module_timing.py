"""Times a module of a user's own under the sweep's protocol: fresh processes, one after another, nothing else timed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import BadInputError, LaunchError
from bench.experiment.trial import PHASES
from bench.machine.environment import worker_environment
from bench.machine.locks import machine_lock
from bench.machine.processes import START_LIMIT_S, WorkerProcess
from bench.watcher import Watcher
from lenet.variant import check_choice, check_number

BLOCK_S = 0.02


def name_factory(factory: str | Callable[[], Any]) -> str:
    """The name by which another process imports a factory. Raises `BadInputError` for one that it could not import."""
    if isinstance(factory, str):
        place, colon, function = factory.rpartition(":")
        if not (place and colon and function):
            raise BadInputError(f"factory '{factory}': write package.module:function, or path/to/file.py:function")
        return f"{Path(place).resolve()}:{function}" if place.endswith(".py") else factory
    name, module = getattr(factory, "__qualname__", ""), getattr(factory, "__module__", "")
    if not name.isidentifier():
        raise BadInputError(f"factory {name or factory!r}: another process can import top-level functions only")
    if module != "__main__":
        return f"{module}:{name}"
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None:
        raise BadInputError(
            f"factory {name}: it is defined in a notebook, which no other process can import; write it into a file"
        )
    return f"{Path(file).resolve()}:{name}"


def time_factory(
    factory: str | Callable[[], Any],
    batch: Sequence[int],
    phases: Sequence[str],
    processes: int,
    rounds: int,
    placement: Mapping[str, Any],
    watcher: Watcher,
) -> dict[str, list[list[float]]]:
    """The raw blocks of each phase, `[process, round, iterations, seconds, cpu_seconds]`, as in a record's timing.

    **Arguments:**

    - `factory`, `batch`: as `bench.measure.factory.build_from_factory` takes them; the factory itself or its name.
    - `placement`: `device` and `threads`.

    Raises `ChoiceError`, `BadInputError` where the module cannot be built or run, `LaunchError` where a process dies.
    """
    name = name_factory(factory)
    _check(phases, placement["device"])
    numbers = {"processes": processes, "rounds": rounds, "threads": placement["threads"]}
    for what, number in (*numbers.items(), *(("batch", size) for size in batch)):
        check_number(what, number, minimum=1, whole=True)
    samples: dict[str, list[list[float]]] = {phase: [] for phase in phases}
    with tempfile.TemporaryDirectory() as folder, machine_lock(watcher.say):
        watcher.stage("timing", processes * rounds)
        task = {
            "kind": "time",
            "trials": [{"key": name, "factory": name, "batch": list(batch), **placement}],
            "phases": list(phases),
            "rounds": rounds,
            "block_s": BLOCK_S,
            "cursor": f"{folder}/cursor",
            "extensions": [],
            "path": [str(Path(entry).resolve()) for entry in sys.path],
        }
        for process in range(processes):
            log, environment = Path(folder) / f"{process}.log", worker_environment(placement["threads"])
            with WorkerProcess({**task, "order_seed": process}, environment, log) as worker:
                for message in worker.messages(START_LIMIT_S):
                    if message["kind"] == "failed":
                        raise BadInputError(f"factory {name}: {message['reason']}")
                    if message["kind"] == "round":
                        for phase, block in message["samples"][name].items():
                            samples[phase].append([process, message["round"], *block])
                        watcher.advance(f"process {process + 1}, round {message['round'] + 1}")
                        worker.answer("go")
                if worker.failure:
                    raise LaunchError(f"factory {name}: {worker.failure[1]}")
    return samples


def _check(phases: Sequence[str], device: str) -> None:
    """Raises `ChoiceError` for a phase or a device that there is not."""
    for phase in phases:
        check_choice("phases", phase, set(PHASES))
    check_choice("device", device, {"cpu", "cuda"})
