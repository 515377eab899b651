"""The whole command against real faults: killed, hung and crashing workers, Ctrl-C, a full disk, missing data, no
CUDA.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.processes import wait_until

from bench.records.run import Run, find_run

pytestmark = pytest.mark.integration

SMALL = """
question = "Does it survive?"
seeds = 2
extensions = ["extension.py"]

[base]
data = "digits"
epochs = 2

[axes]
activation = ["relu", "tanh"]

[timing]
processes = 3
rounds = 2
block_ms = 2
budget_s = 1
"""
EXTENSION = """
import os, time
import torch
from torch import nn
from lenet.layers import activation

class Trouble(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def forward(self, x):
        self.act()
        return torch.relu(x)

@activation("sleepy")
def sleepy():
    return Trouble(lambda: time.sleep(0.05))

@activation("hanging")
def hanging():
    return Trouble(lambda: time.sleep(3600))

@activation("aborting")
def aborting():
    return Trouble(os.abort)

@activation("greedy")
def greedy():
    return Trouble(lambda: torch.empty(1 << 50))

@activation("raising")
def raising():
    return Trouble(lambda: [][0])

@activation("swish7")
def swish7():
    return nn.SiLU()
"""


class Cli:
    """Runs `lenet-bench` in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.results = folder / "results"
        (folder / "extension.py").write_text(EXTENSION)
        (folder / "small.toml").write_text(SMALL)

    def start(self, *arguments, **options):
        command = [sys.executable, "-m", "bench", *arguments]
        environment = {**os.environ, "LENET_BENCH_RESULTS": str(self.results), "COLUMNS": "120"}
        environment.pop("LENET_BENCH_DATA", None)
        environment["XDG_CACHE_HOME"] = str(self.folder / "cache")
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, text=True, env=environment, cwd=self.folder, **options)

    def call(self, *arguments, limit_s=240, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=limit_s)
        return process.returncode, out, err

    def sweep(self, *arguments, **options):
        return self.call("run", str(self.folder / "small.toml"), "--no-track", *arguments, **options)

    def resume(self):
        return self.call("run", "--resume", "small", "--no-track")

    def records(self):
        return {record.name: record for record in Run.open(find_run(self.results, "small")).records()}

    def accuracies(self):
        return {name: [seed.test_accuracy for seed in record.seeds] for name, record in self.records().items()}

    def folders(self):
        """The runs' folders, as soon as they say what was asked."""
        return sorted(file.parent for file in self.results.glob("*/*/experiment.json"))

    def parts(self):
        paths = list(self.results.glob("small/*/parts.jsonl"))
        return paths[0].read_text().count("\n") if paths else 0

    def workers(self):
        """Pids of workers whose log or working folder lies in this test's folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").readlink() == self.folder
            except OSError:
                continue
            if here and any(part in (b"bench.sweep.worker", b"bench.sweep.fork_server") for part in command):
                found.append(int(entry.name))
        return found


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Accuracies of the small sweep when nothing goes wrong."""
    cli = Cli(tmp_path_factory.mktemp("undisturbed"))
    code, out, err = cli.sweep()
    assert code == 0, out + err
    return cli.accuracies()


def listens(process):
    """Whether it has come to our code, which catches SIGTERM; an interpreter that starts cannot be asked much."""
    if process.poll() is not None:
        return True
    caught = Path(f"/proc/{process.pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def one_line(err):
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    return lines[0]


@pytest.mark.slow
def test_a_sweep_leaves_its_files(cli, undisturbed):
    code, out, err = cli.sweep()
    assert (code, err) == (0, "")
    assert cli.accuracies() == undisturbed
    run = find_run(cli.results, "small")
    for name in ("records.jsonl", "table.csv", "table.parquet", "samples.parquet", "report.html", "report.md"):
        assert (run / name).stat().st_size > 0
    assert list((run / "plots").glob("*.png"))
    assert str(run) in out
    assert not (run / "logs").exists()
    for record in cli.records().values():
        assert len({block[0] for block in record.timing.samples["step"]}) >= 3
        assert [len(seed.history) for seed in record.seeds] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_at_any_moment_and_resumed(cli, undisturbed, stop):
    """Stopped again and again, each time one recorded piece further on, the run ends as if nothing had happened."""
    draw = random.Random(int(stop))
    process = cli.start("run", "small.toml", "--no-track")
    for piece in (0, 1, 3, 5):
        wait_until(lambda wanted=piece, now=process: cli.parts() >= wanted or now.poll() is not None)
        wait_until(lambda now=process: listens(now))
        time.sleep(draw.uniform(0, 0.5))
        if process.poll() is None:
            process.send_signal(stop)
        out, err = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        if stop == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 130, out + err
            assert "interrupted" in one_line(err)
        wait_until(lambda: not cli.workers())
        runs = list(cli.results.glob("small/*/experiment.json"))
        process = (
            cli.start("run", "--resume", "small", "--no-track")
            if runs
            else cli.start("run", "small.toml", "--no-track")
        )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    assert cli.accuracies() == undisturbed
    assert {record.status for record in cli.records().values()} == {"ok"}
    assert len(list(cli.results.glob("small/*"))) == 1


@pytest.mark.slow
def test_a_background_job_that_ignores_interrupts_can_be_terminated(cli):
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731  # what a shell does for `command &`
    process = cli.start("run", "small.toml", "--no-track", preexec_fn=ignore)
    wait_until(lambda: cli.parts() >= 1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "--resume" in one_line(err)


@pytest.mark.slow
def test_a_killed_training_worker_costs_its_trial_and_a_resume_mends_it(cli):
    process = cli.start("run", "small.toml", "--no-track", "--set", "activation=relu,sleepy", "--jobs", "1")

    def training_child():
        """The forked child of the fork server, once it is training the slow trial."""
        servers = [p for p in cli.workers() if Path(f"/proc/{p}/task/{p}/children").read_text().strip()]
        return [int(c) for p in servers for c in Path(f"/proc/{p}/task/{p}/children").read_text().split()]

    wait_until(lambda: cli.parts() >= 2 and training_child())
    os.kill(training_child()[0], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, out + err
    records = cli.records()
    assert records["relu"].status == "ok"
    assert (records["sleepy"].status, records["sleepy"].cause) == ("failed", "killed")
    assert "failed" in out
    assert "SIGKILL" in out
    code, out, err = cli.resume()
    assert code == 0, out + err
    assert cli.records()["sleepy"].status == "ok"
    assert cli.records()["sleepy"].attempt == 2
    assert cli.records()["relu"].attempt == 1


@pytest.mark.slow
def test_a_killed_timing_worker_costs_its_trial_and_a_resume_mends_it(cli):
    process = cli.start("run", "small.toml", "--no-track", "--set", "timing.rounds=40")
    wait_until(lambda: cli.parts() >= 8)
    worker = [p for p in cli.workers() if b"bench.sweep.worker" in Path(f"/proc/{p}/cmdline").read_bytes()]
    os.kill(worker[0], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, out + err
    statuses = sorted((record.status, record.cause) for record in cli.records().values())
    assert statuses == [("failed", "killed"), ("ok", "")]
    assert "while timing" in out
    code, out, err = cli.resume()
    assert code == 0, out + err
    assert {record.status for record in cli.records().values()} == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "cause", "reason"),
    [
        ("hanging", "timeout", "did not end within 3 s"),
        ("aborting", "crashed", "SIGABRT"),
        ("greedy", "out_of_memory", "memory"),
        ("raising", "error", "IndexError: list index out of range"),
    ],
)
def test_a_trial_in_trouble_leaves_the_others_alone(cli, undisturbed, activation, cause, reason):
    code, out, err = cli.sweep("--set", f"activation=relu,{activation},tanh", "--set", "limits.seed_s=3")
    assert code == 1, out + err
    records = cli.records()
    assert (records[activation].status, records[activation].cause) == ("failed", cause)
    assert reason in records[activation].reason
    assert "\n" not in records[activation].reason
    assert {name: cli.accuracies()[name] for name in undisturbed} == undisturbed
    assert records["relu"].timing is not None
    assert "Traceback" not in out + err


@pytest.mark.slow
def test_a_users_own_activation_is_swept_like_the_rest(cli):
    code, out, err = cli.sweep("--set", "activation=silu,swish7")
    assert code == 0, out + err
    accuracies = cli.accuracies()
    assert accuracies["silu"] == accuracies["swish7"]


@pytest.mark.slow
def test_what_lies_in_the_current_folder_is_not_taken_for_a_library(cli):
    """A user's own `statistics.py` and `bench`; his own module of layers is found there all the same."""
    (cli.folder / "statistics.py").write_text("raise SystemExit('the wrong statistics')")
    (cli.folder / "bench").mkdir()
    (cli.folder / "bench" / "__init__.py").write_text("raise SystemExit('the wrong bench')")
    (cli.folder / "layers_of_mine.py").write_text(EXTENSION)
    small = (cli.folder / "small.toml").read_text().replace('"extension.py"', '"layers_of_mine"')
    (cli.folder / "small.toml").write_text(small)
    command = [sys.executable, "-P", "-m", "bench", "run", "small.toml", "--set", "activation=relu,swish7"]
    environment = {**os.environ, "LENET_BENCH_RESULTS": str(cli.results)}
    store = f"sqlite:///{cli.folder}/store.db"
    done = subprocess.run(
        [*command, "--tracking-uri", store], cwd=cli.folder, env=environment, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert {record.status for record in cli.records().values()} == {"ok"}


@pytest.mark.slow
def test_a_diverging_trial_fails_with_its_history_kept(cli):
    code, out, err = cli.sweep("--set", "learning_rate=0.05,1e18", "--set", "activation=relu")
    assert code == 1, out + err
    failed = [record for record in cli.records().values() if record.status == "failed"]
    assert [record.cause for record in failed] == ["diverged"]
    assert all(seed.history for seed in failed[0].seeds)
    assert "diverged" in out


@pytest.mark.slow
def test_missing_cuda_is_skipped_with_the_reason(cli):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    code, out, err = cli.sweep("--set", "device=cpu,cuda", "--set", "activation=relu")
    assert code == 0, out + err
    records = cli.records()
    assert records["cpu"].status == "ok"
    assert (records["cuda"].status, records["cuda"].cause) == ("skipped", "no_device")
    assert "no CUDA" in records["cuda"].reason
    assert "skipped" in out
    assert "no CUDA" in out


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_resumes(cli, undisturbed):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_500, 4_500))

    # The plan and the machine are written first; then the parts, of many seeds, fill what is left.
    code, out, err = cli.sweep("--jobs", "1", "--set", "seeds=8", preexec_fn=limit)
    assert code == 1, out + err
    assert "cannot record" in one_line(err)
    assert "--resume" in err
    code, out, err = cli.resume()
    assert code == 0, out + err
    assert {name: seeds[:2] for name, seeds in cli.accuracies().items()} == undisturbed


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("mount"), reason="only root can mount a small file system")
def test_a_small_file_system_that_fills_up(cli, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        cli.results = disk
        (disk / "filling").write_bytes(b"x" * 20_480)
        code, out, err = cli.sweep()
        assert code == 1, out + err
        assert "No space left" in one_line(err)
        recorded = cli.parts()
        (disk / "filling").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert cli.parts() == recorded
        code, out, err = cli.resume()
        assert code == 0, out + err
        assert cli.accuracies() == undisturbed
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "small.toml", "--set", "activation=rellu"], "did you mean 'relu'?"),
        (["run", "small.toml", "--set", "data=mnist"], "mnist is not in"),
        (["run", "small.toml", "--set", "batch_size=4000"], "larger than the 1257 training images"),
        (["run", "small.toml", "--set", "batch_size=-1"], "batch_size: -1"),
        (["run", "small.toml", "--set", "device=gpu"], "device: unknown value 'gpu'"),
        (["run", "small.toml", "--results", "/proc/lenet"], "cannot be made"),
        (["run", "missing.toml"], "no such file"),
        (["run"], "give an experiment file or --resume"),
        (["run", "--resume", "nothing"], "no such run"),
        (["plan", "small.toml", "--set", "nonsense=1"], "unknown key 'nonsense'"),
        (["table", "nothing"], "no such run"),
        (["sync", "nothing"], "no such run"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(cli, arguments, message):
    code, _, err = cli.call(*arguments)
    assert code == 2
    assert message in one_line(err)
    assert not list(cli.results.glob("*/*/records.jsonl"))


def test_truncated_data_is_one_line_and_exit_code_2(cli):
    raw = cli.folder / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        (raw / name).write_bytes(b"\x00\x00\x08\x03\x00\x00\xea\x60" + b"\x00" * 100)
    code, _, err = cli.sweep("--set", "data=mnist", "--data-root", str(cli.folder / "data"))
    assert code == 2
    assert "train-images-idx3-ubyte" in one_line(err)


def test_two_processes_cannot_work_on_one_run(cli):
    process = cli.start("run", "small.toml", "--no-track", "--set", "timing.rounds=60")
    wait_until(lambda: cli.parts() >= 1)
    code, _, err = cli.resume()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert code == 2
    assert "another process is working on this run" in one_line(err)


@pytest.fixture
def hanging(cli):
    """A sweep of one trial that never ends, at work, with no part recorded yet. Ended after the test."""
    process = cli.start("run", "small.toml", "--no-track", "--set", "activation=hanging", "--set", "seeds=1")
    wait_until(lambda: any((folder / "logs").exists() for folder in cli.folders()))
    yield process
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not cli.workers())


def test_a_refused_resume_leaves_the_running_sweep_alone(cli, hanging):
    code, _, err = cli.resume()
    assert code == 2
    assert "another process is working on this run" in one_line(err)
    assert cli.parts() == 0
    (folder,) = cli.folders()
    hanging.send_signal(signal.SIGINT)
    _, err = hanging.communicate(timeout=60)
    assert hanging.returncode == 130, err
    assert cli.folders() == [folder]


def test_a_running_sweep_is_not_offered_as_interrupted(cli, hanging):
    """Started a second time on a terminal, where Enter accepts what is offered."""
    controller, terminal = os.openpty()
    os.write(controller, b"\n")
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    second = cli.start("run", "small.toml", "--no-track", "--set", "activation=hanging", "--set", "seeds=1", **streams)
    os.close(terminal)
    wait_until(lambda: second.poll() is not None or any((f / "logs").exists() for f in cli.folders()[1:]))
    second.kill()
    second.wait(60)
    text = os.read(controller, 1 << 16).decode()
    os.close(controller)
    assert "interrupted" not in text
    assert len(cli.folders()) == 2
    assert hanging.poll() is None


def test_a_resume_without_its_data_removes_nothing(cli):
    process = cli.start("run", "small.toml", "--no-track", "--set", "data=mnist")
    wait_until(cli.folders)
    process.kill()
    process.communicate(timeout=60)
    (folder,) = cli.folders()
    code, _, err = cli.call("run", "--resume", "small", "--no-track", "--data-root", "elsewhere")
    assert code == 2
    assert "mnist is not in" in one_line(err)
    assert cli.folders() == [folder]


@pytest.mark.slow
def test_sweeps_started_at_once_take_folders_of_their_own(cli):
    (cli.folder / "none.toml").write_text('seeds = 1\n[base]\ndata = "synthetic"\n[timing]\nenabled = false\n')
    processes = [cli.start("run", "none.toml", "--no-track") for _ in range(4)]
    for process in processes:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    assert len(cli.folders()) == 4


def test_what_is_to_do_is_read_under_the_lock(cli):
    """A sweep that waits before its first trial, here for its reader, is resumed by another process: one runs it."""
    (cli.folder / "long.toml").write_text(
        f'question = "{"Why? " * 60_000}"\nseeds = 1\n[base]\ndata = "synthetic"\n[timing]\nenabled = false\n'
    )
    first = cli.start("run", "long.toml", "--no-track")
    wait_until(lambda: first.stdout.readline() == "long: 1 of 1 trials to run\n")
    code, _, err = cli.call("run", "--resume", "long", "--no-track")
    first.communicate(timeout=240)
    assert (first.returncode, code) == (0, 2)
    assert "another process is working on this run" in one_line(err)
    assert (cli.folders()[0] / "records.jsonl").read_text().count("\n") == 1


@pytest.mark.slow
def test_a_store_that_does_not_answer_costs_the_sweep_nothing(cli):
    code, out, err = cli.call("run", "small.toml", "--tracking-uri", "http://127.0.0.1:9")
    assert code == 0, out + err
    assert "lenet-bench sync" in out
    assert {record.status for record in cli.records().values()} == {"ok"}
