"""The timing worker's contract with scripted samples and failures: what the runner does is tested to the digit without
timing.

Reads the same JSON task and writes the same JSON lines as `python -m bench.sweep.worker`. The script comes as JSON in
the environment variable FAKE_WORKER: `seconds` (of one iteration, by phase, default 1e-3), and `failures`, a list of
mappings with `key` or `place` (which trial), `when` (`build` or `round`), `how` (`crash`, `kill`, `hang`,
`out_of_memory`, `not_json`, `raise`) and optionally `process` (a file that counts the starts says which process this
is).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def emit(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def fail(how: str, key: str) -> None:
    """Fails as scripted. Returns only for `raise`, which a worker survives."""
    if how == "crash":
        os.abort()
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hang":
        time.sleep(3600)
    elif how == "out_of_memory":
        print("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", file=sys.stderr)
        sys.exit(1)
    elif how == "not_json":
        print("Segmentation fault in a library", flush=True)
        time.sleep(3600)
    elif how == "raise":
        emit({"kind": "failed", "key": key, "cause": "error", "reason": "scripted"})


def main() -> None:
    script = json.loads(os.environ.get("FAKE_WORKER", "{}"))
    task = json.loads(sys.stdin.readline())
    counter = Path(task["cursor"]).with_name("starts")
    process = int(counter.read_text()) if counter.exists() else 0
    counter.write_text(str(process + 1))
    cursor = os.open(task["cursor"], os.O_WRONLY | os.O_CREAT)
    keys = [entry["key"] for entry in task["trials"]]

    def scripted(place: int, when: str) -> str | None:
        for failure in script.get("failures", []):
            if failure["key"] == keys[place] and failure["when"] == when and failure.get("process", process) == process:
                return str(failure["how"])
        return None

    alive = []
    for place, key in enumerate(keys):
        os.pwrite(cursor, b"%8d" % place, 0)
        how = scripted(place, "build")
        if how:
            fail(how, key)
            continue
        alive.append(place)
        emit({"kind": "trial", "key": key, "network": {"parameters": 1, "macs": 1, "layers": []},
              "prepare_s": 0.0, "warmup_s": 0.0, "peak_memory_bytes": 1024})  # fmt: skip
    for number in range(task["rounds"]):
        samples: dict[str, dict[str, list[float]]] = {}
        for place in alive:
            os.pwrite(cursor, b"%8d" % place, 0)
            how = scripted(place, "round")
            if how and number == 1:
                fail(how, keys[place])
            seconds = script.get("seconds", {}).get(keys[place], 1e-3)
            spread = script.get("spread", 0.0) * (process % 3 - 1)
            samples[keys[place]] = {phase: [10, 10 * seconds * (1 + spread), 10 * seconds] for phase in task["phases"]}
        emit({"kind": "round", "round": number, "samples": samples})
        if sys.stdin.readline().strip() != "go":
            return
    emit({"kind": "done"})


if __name__ == "__main__":
    main()
