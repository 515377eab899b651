"""What holds for every test: it may interrupt what it starts, and it waits for no other sweep of the machine."""

import os
import signal

import pytest

# A shell's background jobs have SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A pytest that a test starts is no worker of this one: pytest-benchmark would measure nothing in it.
for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
    os.environ.pop(name, None)


# Two test processes on two cores, each with a torch of two threads, would mostly wait for each other. Before torch is
# imported; what a test starts with other threads sets them itself.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def locks_of_this_session(tmp_path_factory):
    """The lock under which a machine is timed on is this test process's own, in a folder that its children are told.
    Otherwise every test that times would wait for whatever else is timed on the machine.
    """
    os.environ["LENET_BENCH_LOCKS"] = str(tmp_path_factory.mktemp("locks"))
