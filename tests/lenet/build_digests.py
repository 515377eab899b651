"""Prints a digest of the weights that each historic network starts from, for the schemes that experiments use.

`build_digests.json` beside this file was written by it with the revision before the init schemes became one registry:

    git worktree add /tmp/before 3b64f66
    PYTHONPATH=/tmp/before python tests/lenet/build_digests.py > tests/lenet/build_digests.json

It uses nothing of lenet but `build` and `Variant`, so that it runs with any revision.
"""

import hashlib
import json
import sys
from pathlib import Path

from lenet.networks import build
from lenet.variant import Variant

BY_FAN_IN = ("lecun_uniform", "lecun_sqrt_uniform")
SCHEMES = {
    "net1": BY_FAN_IN, "net2": BY_FAN_IN, "net3": BY_FAN_IN, "net4": BY_FAN_IN, "net5": BY_FAN_IN,
    "zipcode1989": BY_FAN_IN, "lenet1": BY_FAN_IN, "lenet4": BY_FAN_IN, "lenet5": BY_FAN_IN,
    "linear": ("lecun_uniform", "kaiming_uniform"), "mlp300": ("torch_default", "lecun_uniform"),
    "mlp300_100": ("torch_default",), "mlp1000": ("torch_default",), "bosch": ("xavier_uniform",),
    "lenet": ("torch_default", "xavier_uniform", "kaiming_uniform", "lecun_uniform", "uniform01"),
}  # fmt: skip
"""Architecture -> schemes. Uniform ones only: draws of a normal distribution may differ in the last bit by CPU."""
SEEDS = (0, 1)


def digest(architecture: str, init: str, seed: int) -> str:
    """16 hexadecimal digits of a hash over the names and values of the network's parameters and buffers."""
    model, content = build(Variant.make(architecture, channels=1, init=init), seed), hashlib.sha256()
    for name, value in model.state_dict().items():
        content.update(f"{name}{tuple(value.shape)}".encode())
        content.update(value.numpy().tobytes())
    return content.hexdigest()[:16]


def all_digests() -> dict[str, str]:
    """`architecture/scheme/seed` -> digest."""
    return {
        f"{architecture}/{init}/{seed}": digest(architecture, init, seed)
        for architecture, schemes in SCHEMES.items()
        for init in schemes
        for seed in SEEDS
    }


if __name__ == "__main__":
    print(f"lenet of {Path(sys.modules['lenet'].__file__).parents[1]}", file=sys.stderr)
    print(json.dumps(all_digests(), indent=1))
