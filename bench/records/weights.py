"""The weights of a sweep's best trial: of all that are trained, those of one seed of the most accurate one are kept.

Results of seeds go in; at the end one file is left in the run's folder (more if trials are equally accurate). A file's
name says all there is to know, so that a resumed run goes on where it stopped. Nothing here reads weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.records.record import SeedResult


@dataclass(frozen=True)
class Weights:
    """The folder of weights: `KEY_SEED.pt` while a trial's seeds are trained, `ACCURACY_KEY_SEED.pt` after."""

    folder: Path

    def path(self, key: str, seed: int) -> Path:
        """Where a worker puts the weights of one seed."""
        self.folder.mkdir(exist_ok=True)
        return self.folder / f"{key}_{seed}.pt"

    def settle(self, key: str, results: Mapping[int, SeedResult]) -> None:
        """Keeps or drops a trial's weights, now that all its seeds have ended.

        Trials are compared by the mean test accuracy, as the ranking is; among the seeds of one, the validation images
        choose.
        """
        files = {seed: self.folder / f"{key}_{seed}.pt" for seed in results}
        if all(result.status == "ok" for result in results.values()):
            best = max(results, key=lambda seed: _validation_accuracy(results[seed]))
            accuracy = math.fsum(result.test_accuracy or 0.0 for result in results.values()) / len(results)
            if files[best].exists():
                files[best].replace(self.folder / f"{accuracy:.9f}_{key}_{best}.pt")
        for file in files.values():
            file.unlink(missing_ok=True)
        kept = {file: file.name.split("_")[0] for file in self.folder.glob("*_*_*.pt")}
        for file, reached in kept.items():
            if reached < max(kept.values()):
                file.unlink(missing_ok=True)

    def find(self, key: str) -> tuple[Path, int] | None:
        """The kept weights of a trial, and their seed."""
        file = next(self.folder.glob(f"*_{key}_*.pt"), None)
        return (file, int(file.stem.rpartition("_")[2])) if file else None


def _validation_accuracy(result: SeedResult) -> float:
    best = result.history[result.best_epoch - 1] if result.best_epoch else {}
    return float(best.get("validation_accuracy") or 0.0)
