"""The fork server of the training stage: a process that has imported torch, and forks a child for each task.

Requests come over a Unix socket, one JSON line and two file descriptors each (the child's results, the child's log);
replies go back as JSON lines: the child's pid at once, its exit status when it ended. A forked child starts in
milliseconds where a fresh interpreter needs two seconds to import torch. It must never have run a parallel region or
touched CUDA (a child would hang or fail), so it reads data sets as numpy arrays only, and checks before each fork that
it still has one thread.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any

from bench.measure.child import describe, die_with_parent
from bench.sweep.worker import train
from lenet.extensions import load_extensions


def main() -> int:
    """Serves until the socket closes, then kills what is still running."""
    die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    os.dup2(2, 1)
    preload()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    signal.set_wakeup_fd(wake_write)
    children: dict[int, int] = {}
    try:
        _serve(control, wake_read, [control.fileno(), wake_read, wake_write], children)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    return 0


def _serve(control: socket.socket, wake_read: int, inherited: list[int], children: dict[int, int]) -> None:
    """Answers requests, and reports the ends of children, until the socket closes.

    **Arguments:**

    - `wake_read`: can be read when a child may have ended.
    - `inherited`: the descriptors that a child closes.
    - `children`: the task's number of each running child by its process id; kept up to date here.
    """
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    buffer, descriptors = b"", []
    while True:
        for ready, _ in selector.select():
            if ready.fd == wake_read:
                os.read(wake_read, 4096)
                _reap(control, children)
                continue
            data, received, _, _ = socket.recv_fds(control, 1 << 20, 8)
            if not data:
                return
            buffer += data
            descriptors += received
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                request = json.loads(line)
                if request["kind"] == "load":
                    _reply(control, _load(request))
                    continue
                result_fd, log_fd = descriptors[:2]
                del descriptors[:2]
                pid = fork(request["task"], result_fd, log_fd, inherited)
                os.close(result_fd)
                os.close(log_fd)
                children[pid] = request["id"]
                _reply(control, {"kind": "started", "id": request["id"], "pid": pid})


def preload() -> None:
    """Imports what the children would otherwise pay for, a second each: building an optimiser imports torch._dynamo."""
    for name in ("torch._dynamo", "bench.measure.learn"):
        importlib.import_module(name)


def _reply(control: socket.socket, message: dict[str, Any]) -> None:
    control.sendall((json.dumps(message) + "\n").encode())


def _load(request: dict[str, Any]) -> dict[str, Any]:
    """Imports the user's extensions and reads the data sets into memory that children share. Says what is missing."""
    from pathlib import Path

    from lenet.data import load_arrays
    from lenet.files import digest
    from lenet.variant import Form

    try:
        load_extensions(request["extensions"])
        for name, form in request["data"]:
            load_arrays(name, Path(request["data_root"]), form=Form(**form), download=request["download"])
            digest(name, Path(request["data_root"]))  # once here instead of in every child
    except Exception as error:
        return {"kind": "loaded", "error": describe(error)}
    return {"kind": "loaded", "error": ""}


def _reap(control: socket.socket, children: dict[int, int]) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in children:
            _reply(control, {"kind": "ended", "id": children.pop(pid), "status": os.waitstatus_to_exitcode(status)})


def fork(task: dict[str, Any], result_fd: int, log_fd: int, inherited: list[int]) -> int:
    """Starts a child that trains one seed, and returns its process id. The child leads a process group of its own.

    **Arguments:**

    - `result_fd`, `log_fd`: where the child writes its one message, and whatever else it prints.
    - `inherited`: descriptors of the server that the child closes.
    """
    _check_forkable()
    pid = os.fork()
    if pid:
        # Here as well as in the child: its group must be there before anyone is told its pid and may kill the group.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    try:
        os.setpgid(0, 0)
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        for descriptor in inherited:
            os.close(descriptor)

        def emit(message: dict[str, Any]) -> None:
            with os.fdopen(result_fd, "w") as results:
                results.write(json.dumps(message, allow_nan=False) + "\n")

        train(task, emit)
        os._exit(0)
    except BaseException as error:
        print(describe(error), file=sys.stderr, flush=True)
        os._exit(1)


def _check_forkable() -> None:
    import torch

    tasks = "/proc/self/task"
    threads = len(os.listdir(tasks)) if os.path.isdir(tasks) else 1  # noqa: PTH208, PTH112  # on the path of each fork
    if threads > 1 or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # untyped in torch
        raise RuntimeError(f"the fork server has {threads} threads and must have 1, and no CUDA context")


if __name__ == "__main__":
    sys.exit(main())
