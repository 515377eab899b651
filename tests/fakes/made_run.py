"""Run folders made by hand, of which every number of the table, the report and the plots can be told beforehand."""

from bench.experiment.trial import PHASES, Trial
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run

TIMING = {"enabled": True, "phases": list(PHASES), "processes": 3, "rounds": 2, "block_ms": 20.0, "target_ci": 0.02,
          "budget_s": 75.0}  # fmt: skip
MACHINE = {"id": "m1", "torch": "2.13.0", "cpu": "A processor", "cores": 2, "memory_bytes": 8 << 30, "gpu": [],
           "python": "3.11.7", "kernel": "6.1", "environment": {"MALLOC_TOP_PAD_": "1"}}  # fmt: skip


def history(accuracy, epochs):
    """Validation accuracy rises to `accuracy` at the last epoch, the loss halves with each."""
    return [
        {"epoch": epoch, "updates": 19 * epoch, "learning_rate": 0.05, "train_loss": 2.0**-epoch,
         "validation_loss": None, "validation_accuracy": accuracy * epoch / epochs}
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


def make_record(knobs, accuracies=(), step_s=(), status="ok", name=None, reason="", epochs=3, peak_mib=8, **changes):
    """A record with a seed for each of `accuracies` and a process for each of `step_s`, the seconds of one step.

    A backward pass takes half as long as the step, a forward pass a quarter; each process has two rounds alike.
    """
    trial = Trial.from_knobs(knobs)
    seeds = [
        SeedResult(seed=seed, history=history(accuracy - 0.01, epochs), best_epoch=epochs, test_accuracy=accuracy,
                   test_loss=0.1, train_s=1.0 + seed, evaluate_s=0.25)
        for seed, accuracy in enumerate(accuracies)
    ]  # fmt: skip
    samples = {
        phase: [[process, n, 10, 10 * seconds * part, 0.01] for process, seconds in enumerate(step_s) for n in (0, 1)]
        for phase, part in zip(PHASES, (0.25, 0.5, 1.0), strict=True)
    }
    timing = Timing(samples=samples, prepare_s=[], warmup_s=[0.1], peak_memory_bytes=peak_mib << 20, stopped="narrow")
    ok = status == "ok"
    values = {
        "key": trial.key, "name": name or "-".join(map(str, knobs.values())) or "base", "trial": trial.to_dict(),
        "status": status, "cause": "" if ok else "no_device" if status == "skipped" else "crashed", "reason": reason,
        "seeds": seeds, "timing": timing if step_s else None,
        "network": {"parameters": 61_706, "macs": 400_000, "layers": []} if ok else {},
        "started_s": 1_760_000_000.0, "ended_s": 1_760_000_001.0,
    }  # fmt: skip
    return Record(**{**values, **changes})


def make_run(path, records, axes, missing=(), machine=None, timing=None, **changes):
    """A run's folder with these records; `missing` are planned and not recorded."""
    planned = [*records, *missing]
    experiment = {
        "name": "made", "uid": "abc123", "question": "Which is best?", "expect": "", "axes": axes, "seeds": [0, 1, 2],
        "timing": TIMING | (timing or {}),
        "trials": [{"key": record.key, "name": record.name, "trial": record.trial} for record in planned],
        "baseline": planned[0].key, "git": {"commit": "0123456789abcdef", "branch": "main", "dirty": True},
        "started_s": 1_760_000_000.0, "command": "lenet-bench run experiments/made.toml",
    }  # fmt: skip
    run = Run.create(path, experiment | changes, MACHINE | (machine or {}))
    for record in records:
        run.append(record)
    return run


def sweep(path, **changes):
    """Four trials of which two learned, one failed and one was skipped."""
    records = [
        make_record({"activation": "relu"}, (0.98, 0.97, 0.99), (1.0e-3, 1.1e-3, 1.05e-3)),
        make_record({"activation": "tanh"}, (0.96, 0.95, 0.955), (0.9e-3, 0.95e-3, 0.92e-3), peak_mib=4),
        make_record({"activation": "gelu"}, status="failed", reason="the worker crashed (SIGABRT)"),
        make_record({"activation": "silu", "device": "cuda"}, status="skipped", reason="no CUDA device: none here"),
    ]
    axes = {"activation": ["relu", "tanh", "gelu", "silu"], "device": ["cpu", "cuda"]}
    return make_run(path, records, axes, **changes)


ODD = (
    "nothing recorded", "no ok trial", "one trial", "one seed, one epoch, one process", "timing off", "synthetic",
    "synthetic, forward alone", "synthetic, timing off", "nothing learned", "some lost", "moving together", "hostile",
)  # fmt: skip
"""Shapes of a run that a careless report trips over."""


def odd_run(path, odd):
    """A run of one of these shapes."""
    relu, tanh = {"activation": "relu"}, {"activation": "tanh"}
    axes = {"activation": ["relu", "tanh"]}
    steps = (1.0e-3, 1.1e-3, 1.05e-3)
    hostile = "a|b <script>alert(1)</script> [bold]`x` $\\bad{ & [/red] *i* \\ _é 漢字" + "long" * 20
    synthetic = {"data": "synthetic", "batch_size": 8}
    off = {"enabled": False}
    shapes = {
        "nothing recorded": ([], axes, {"missing": [make_record(relu)]}),
        "no ok trial": (
            [make_record(relu, status="failed", reason="it crashed"), make_record(tanh, status="skipped", reason="x")],
            axes, {},
        ),
        "one trial": ([make_record({}, (0.98, 0.97), steps)], {}, {}),
        "one seed, one epoch, one process": (
            [make_record(relu, (0.98,), (1e-3,), epochs=1), make_record(tanh, (0.97,), (2e-3,), epochs=1)], axes, {},
        ),
        "timing off": ([make_record(relu, (0.98, 0.97)), make_record(tanh, (0.9, 0.91))], axes, {"timing": off}),
        "synthetic": (
            [make_record(synthetic | relu, (), steps), make_record(synthetic | tanh | {"batch_size": 16}, (), steps)],
            axes | {"batch_size": [8, 16]}, {},
        ),
        "synthetic, forward alone": (
            [forward_alone(make_record(synthetic | relu, (), steps))], {}, {"timing": {"phases": ["forward"]}},
        ),
        "synthetic, timing off": ([make_record(synthetic)], {}, {"timing": off}),
        "nothing learned": (
            [make_record(relu, (0.1, 0.1, 0.1), steps), make_record(tanh, (0.1, 0.11, 0.1), (2e-3, 2.1e-3))], axes, {},
        ),
        "some lost": (
            [make_record(relu, (0.98, 0.97), steps), make_record(tanh, (0.1, 0.1), (9e-4, 9.1e-4)),
             make_record({"activation": "elu"}, (0.97, 0.975), (8e-4, 8.1e-4))],
            {"activation": ["relu", "tanh", "elu"]}, {},
        ),
        "moving together": (
            [make_record(relu | {"batch_size": 8}, (0.98, 0.97), steps),
             make_record(tanh | {"batch_size": 64}, (0.9, 0.91), steps)],
            {"activation": ["relu", "tanh"], "batch_size": [8, 64]}, {},
        ),
        "hostile": (
            [make_record(relu, (0.98, 0.97), steps, name=hostile),
             make_record(tanh, (0.97, 0.96), steps, name="_" + hostile),
             make_record({"activation": "gelu"}, status="failed", name="[/]" + hostile, reason=hostile)],
            axes, {"name": "[/b] <b>$x$", "question": hostile, "command": f"lenet-bench run '{hostile}'\n# new"},
        ),
    }  # fmt: skip
    assert tuple(shapes) == ODD
    records, swept, changes = shapes[odd]
    return make_run(path, records, swept, **changes)


def forward_alone(record):
    """The same record with the other phases untimed."""
    record.timing.samples.pop("step")
    record.timing.samples.pop("backward")
    return record
