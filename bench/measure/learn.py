"""One seed of one trial learned: what the sweep's worker and the gate's trial side both run.

Plain values go in, the fields of `bench.records.record.SeedResult` come out. There is one such function, so that what
the gate compares is the trial that a sweep would have trained, on its device, in its dtype and by its method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lenet.data import load
from lenet.files import digest
from lenet.networks import build, count
from lenet.training import Fit, fit
from lenet.variant import Form, Recipe, Variant

from .blocks import place_step
from .child import classify, describe


def learn(
    variant: Variant,
    recipe: Recipe,
    placement: Mapping[str, Any],
    seed: int,
    data_root: Path,
    *,
    weights: Path | None = None,
) -> dict[str, Any]:
    """Trains a network, or fits a method that is none, and tests it. It does not raise: what goes wrong is its result.

    Sets the number of torch's threads in this process, and flushes denormal numbers to zero.

    **Arguments:**

    - `placement`: `device`, `threads`, `dtype`, `memory_format` and `backend`, as plain values.
    - `data_root`: the folder that data sets lie in; digits need none.
    - `weights`: where a network's weights are saved, on the CPU, if it was trained.

    **Returns:** the fields of `SeedResult` but for `wall_s` and `peak_memory_bytes`, which are the process's, and
    `network`, as `lenet.networks.count` gives it ({} for a method).
    """
    network: dict[str, Any] = {}
    data_digest = ""
    try:
        torch.set_num_threads(placement["threads"])
        torch.set_flush_denormal(True)
        form = Form.of(recipe, variant.input_size, draw=seed)
        data = load(recipe.data, data_root, form=form, device=placement["device"])
        data_digest = digest(recipe.data, data_root)
        if variant.is_network:
            model = build(variant, seed=seed)
            network = count(model, (variant.channels, variant.input_size, variant.input_size))
            result = fit(place_step(model, recipe, placement), data, recipe, seed)
            if weights is not None and result.status == "ok":
                torch.save({name: value.cpu() for name, value in model.state_dict().items()}, weights)
        else:
            from lenet.baselines import fit_baseline

            result = fit_baseline(variant.architecture, data, seed)
    except Exception as error:
        return {**fail(seed, error), "network": network, "data_digest": data_digest}
    return {"seed": seed, **dataclasses.asdict(result), "network": network, "data_digest": data_digest}


def fail(seed: int, error: Exception) -> dict[str, Any]:
    """What `learn` returns of a seed that ended in an exception."""
    result = Fit(status="failed", cause=classify(error), reason=describe(error))
    return {"seed": seed, **dataclasses.asdict(result), "network": {}, "data_digest": ""}
