"""A side of a pair without torch or pytest: it speaks the protocol and misbehaves as the benchmarks' names ask.

`fails`, `dies`, `hangs` at a block; `unbuildable` is said to be so; `deadly` kills the side while it is being built. A
name that ends in `@head` misbehaves on head only. A task whose `tree` has a file `broken` cannot be served.
"""

import json
import os
import sys
import time
from pathlib import Path


def does(name, what, side):
    return name == what or name == f"{what}@{side}"


def main():
    task = json.loads(sys.stdin.readline())
    tree = Path(task["tree"])
    side = tree.name

    def emit(**message):
        print(json.dumps(message), flush=True)

    if (tree / "broken").exists():
        emit(kind="broken", reason="ModuleNotFoundError: no torch")
        return
    if task["kind"] == "train":
        for one in task["trainings"]:
            if does(one["name"], "dies", side):
                sys.exit("out of memory")
            emit(kind="trained", name=one["name"], seed=one["seed"], accuracy=0.9 + one["seed"] / 100, reason="")
        emit(kind="done")
        return
    names = [one["name"] for one in task["benchmarks"]]
    for name in names:
        emit(kind="building", benchmark=name)
        if does(name, "deadly", side):
            os._exit(3)
    emit(kind="ready", failed={name: "KeyError: no" for name in names if does(name, "unbuildable", side)})
    for line in sys.stdin:
        command = json.loads(line)
        name, kind = command["benchmark"], command["kind"]
        if kind == "warm_up":
            emit(kind="warm", seconds=1.0 if name == "long" else 0.001)
        elif kind == "end":
            emit(kind="ended")
        elif does(name, "fails", side):
            emit(kind="failed", reason="IndexError: out of range")
        elif does(name, "dies", side):
            os._exit(3)
        elif does(name, "hangs", side):
            time.sleep(600)
        else:
            seconds = command["iterations"] * (0.002 if side == "head" else 0.001)
            emit(kind="block", seconds=seconds, cpu_seconds=seconds / 2)


if __name__ == "__main__":
    main()
