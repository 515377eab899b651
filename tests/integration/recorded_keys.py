"""Prints the keys of all trials that the shipped experiments unfold into.

`recorded_keys.json` beside this file was written by it; write it anew only together with an experiment that changed:

    python tests/integration/recorded_keys.py > tests/integration/recorded_keys.json
"""

import json
from pathlib import Path

from bench.experiment.file import check, read_file

ROOT = Path(__file__).resolve().parents[2]


def experiment_keys() -> dict[str, dict[str, str]]:
    """Name of an experiment file -> name of a trial -> its key."""
    return {
        path.stem: {named.name: named.trial.key for named in check(read_file(path), path).trials}
        for path in sorted((ROOT / "experiments").glob("*.toml"))
    }


if __name__ == "__main__":
    print(json.dumps(experiment_keys(), indent=1))
