"""A sweep's best trial as a model in MLflow, and the registry's `champion`.

`choose` says in the sweep's process which trial that is; `log_best` logs it, from the weights that training left in the
run's folder (`bench.records.weights`). It imports torch and MLflow both, so it is called in a process of its own
(`bench.tracking.worker`), neither in the sweep's nor in a timed one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import TrackingError
from bench.records.weights import Weights
from bench.statistics.intervals import mean_interval
from bench.text.numbers import format_points
from bench.tracking.failures import first_line, import_mlflow
from bench.tracking.store import Store
from bench.tracking.views import Sweep, search_ids

if TYPE_CHECKING:
    from bench.analysis.results import Results

ALIAS = "champion"
EXAMPLES = 2  # torch.export takes a dimension of size 1 for a constant


@dataclass(frozen=True)
class Best:
    """The trial that a model is made of, in plain values.

    **Arguments:**

    - `uid`, `name`: of the trial's run in MLflow. `trial`: `Trial.to_dict()`.
    - `data`: name and digest of the data set, `digits:0123`. `accuracies`: test accuracy, a share, by seed.
    - `weights`, `seed`: the file, and the seed that its weights were trained with.
    """

    uid: str
    name: str
    trial: dict[str, dict[str, Any]]
    data: str
    accuracies: dict[str, float]
    weights: str
    seed: int

    @functools.cached_property
    def digest(self) -> str:
        """16 hexadecimal digits: a hash of the file of weights."""
        return hashlib.sha256(Path(self.weights).read_bytes()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for one line of JSON."""
        return dataclasses.asdict(self)


def choose(results: Results) -> Best | str:
    """The most accurate trial, or in one line why there is no model of it."""
    ranked = results.ranked
    learned = ranked[ranked["test_accuracy"].notna()]
    if learned.empty:
        return "no model: nothing was trained"
    key = learned["key"].iloc[0]
    record = next(record for record in results.reading if record.key == key)
    weights = Weights(results.run.path.resolve() / "weights").find(key)
    if weights is None:
        return f"no model: the weights of {record.name} were not kept"
    file, seed = weights
    digest = next((seed.data_digest for seed in record.seeds), "")
    return Best(
        uid=f"{results.run.experiment['uid']}:{key}",
        name=record.name,
        trial=record.trial,
        data=f"{record.trial['recipe']['data']}:{digest}",
        accuracies={str(seed): accuracy for seed, accuracy in record.accuracies().items()},
        weights=str(file),
        seed=seed,
    )


def log_best(store: Store, sweep: Sweep, best: Best) -> str:
    """Logs the best trial as a model and registers it as champion if it beats the holder. What was done, in one line.

    Raises `TrackingError` for a store that fails. A network that cannot be exported is said, and is no error.
    """
    runs = search_ids(store, f"tags.`bench.trial_uid` = '{best.uid}'")
    if not runs:
        raise TrackingError(f"the run of {best.name} is not there")
    run_id = runs[0]
    found = store.call(
        store.client.search_logged_models,
        [store.experiment_id],
        f"tags.`bench.weights` = '{best.digest}' AND source_run_id = '{run_id}'",
    )
    ready = [model for model in found if str(model.status).endswith("READY")]
    for model in found:
        if model not in ready:  # begun by a process that was killed
            store.call(store.client.delete_logged_model, model.model_id)
    try:
        model_id = str(ready[0].model_id) if ready else log_model(store, sweep, best, run_id)
    except TrackingError:
        raise
    except Exception as error:  # whatever torch.export does not take
        return f"the best trial, {best.name}, cannot be logged as a model ({first_line(error)})"
    crowned = crown(store, best, run_id, model_id)
    drop_outdated(store, sweep, best, model_id)
    return f"model of {best.name} (seed {best.seed}): {crowned}"


def log_model(store: Store, sweep: Sweep, best: Best, run_id: str) -> str:
    """Logs the network with its weights, a signature and an example; the model's id.

    It is exported by torch (`pt2`), so that loading it needs torch and MLflow, and nothing of this suite.
    """
    import numpy as np
    import torch

    from lenet.extensions import load_extensions
    from lenet.networks import build
    from lenet.variant import Variant

    mlflow = import_mlflow()
    load_extensions(sweep.extensions)
    variant = Variant(**best.trial["variant"])
    network = build(variant, seed=best.seed)
    network.load_state_dict(torch.load(best.weights, weights_only=True))
    network.eval()
    shape = (EXAMPLES, variant.channels, variant.input_size, variant.input_size)
    example = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    from mlflow.models import infer_signature

    with torch.inference_mode():
        signature = infer_signature(example, network(torch.from_numpy(example)).numpy())
    knobs = {knob: value for section in best.trial.values() for knob, value in section.items()}
    mlflow.set_tracking_uri(store.uri)
    model = store.call(
        store.client.create_logged_model,
        store.experiment_id,
        name=best.trial["recipe"]["data"],
        source_run_id=run_id,
        tags={"bench.weights": best.digest, "bench.seed": str(best.seed), "bench.data": best.data,
              "bench.sweep": sweep.uid,
              "mlflow.note.content": "Takes images as lenet.data.load returns them: normalised, float32 "
              f"(N, {', '.join(map(str, shape[1:]))}); gives logits."},
        params={knob: str(value) for knob, value in knobs.items()},
        model_type="classifier",
    )  # fmt: skip
    with quiet():
        store.call(
            mlflow.pytorch.log_model,
            network,
            name=model.name,
            model_id=model.model_id,
            signature=signature,
            input_example=example,
            pip_requirements=[f"torch=={torch.__version__}", f"mlflow=={mlflow.__version__}"],
        )
    measure(store, best, run_id, model.model_id)
    return str(model.model_id)


def measure(store: Store, best: Best, run_id: str, model_id: str) -> None:
    """Links the model with its trial's run, and puts that seed's accuracy on it."""
    from mlflow.entities import LoggedModelOutput

    store.call(store.client.log_outputs, run_id, [LoggedModelOutput(model_id, step=0)])
    accuracy = best.accuracies[str(best.seed)]
    store.call(store.client.log_metric, run_id, "model/test_accuracy", accuracy, model_id=model_id)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """MLflow and torch.export tell a person much while they export; none of it is about what was asked."""
    os.environ["MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK"] = "true"
    with warnings.catch_warnings(), contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        warnings.simplefilter("ignore")
        logging.getLogger("torch").setLevel(logging.ERROR)
        yield


def crown(store: Store, best: Best, run_id: str, model_id: str) -> str:
    """Registers the model and gives it the alias `champion`, if there is no holder or it beats the holder; says so."""
    name = registered_name(best)
    holder = holder_of(store, name)
    if holder is not None:
        if holder.tags.get("bench.weights") == best.digest:
            return f"is {name}@{ALIAS}"
        verdict = beats(best, holder.tags)
        if verdict:
            return f"logged; {name}@{ALIAS} stays: {verdict}"
    version = store.call(
        store.client.create_model_version,
        name,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags={"bench.weights": best.digest, "bench.data": best.data, "bench.accuracies": json.dumps(best.accuracies),
              "bench.trial": best.name},
    )  # fmt: skip
    store.call(store.client.set_registered_model_alias, name, ALIAS, version.version)
    return f"registered as {name}@{ALIAS}, version {version.version}"


def registered_name(best: Best) -> str:
    """One registered model a data set."""
    return f"lenet-{best.trial['recipe']['data']}"


def drop_outdated(store: Store, sweep: Sweep, best: Best, model_id: str) -> None:
    """Deletes models of this sweep that are no longer its best trial's, but for those that a registered version is."""
    versions = store.call(store.client.search_model_versions, f"name = '{registered_name(best)}'")
    kept = {model_id, *(version.source.rpartition("/")[2] for version in versions)}  # `model_id` is None in a listing
    condition = f"tags.`bench.sweep` = '{sweep.uid}'"
    for model in store.call(store.client.search_logged_models, [store.experiment_id], condition):
        if model.model_id not in kept:
            store.call(store.client.delete_logged_model, model.model_id)


def holder_of(store: Store, name: str) -> Any:
    """The model version that has the alias; None if there is none. Makes the registered model where it is missing."""

    def action() -> Any:
        try:
            return store.client.get_model_version_by_alias(name, ALIAS)
        except Exception as error:
            code = getattr(error, "error_code", "")
            if code == "INVALID_PARAMETER_VALUE":  # the model is there, the alias is not
                return None
            if code != "RESOURCE_DOES_NOT_EXIST":
                raise
        try:
            store.client.create_registered_model(name, description="The best of all sweeps on this data set.")
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
        return None

    return store.call(action)


def beats(best: Best, holder: dict[str, str]) -> str:
    """Why a model does not beat the holder; "" if it does.

    It does where the 95 % interval of the difference in accuracy over seeds, paired by seed, is above 0: the rule by
    which the ranking tells trials from the best one.
    """
    if holder.get("bench.data") != best.data:
        return f"it was tested on other data ({holder.get('bench.data')})"
    theirs: dict[str, float] = json.loads(holder.get("bench.accuracies", "{}"))
    ours = best.accuracies
    difference = mean_interval([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())])
    if difference.low > 0:
        return ""
    if difference.n < 2:
        return "they share fewer than two seeds"
    points = format_points(*(100 * bound for bound in (difference.value, difference.low, difference.high)))
    return f"the difference is {points} points"
