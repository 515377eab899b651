"""`lenet-bench gate`: what is refused before anything is measured."""

from fakes.timed_runs import run_command


def test_a_gate_refuses_its_files_before_it_measures(tmp_path):
    done = run_command("gate", "--json", "out", "--junit", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "lenet-bench: out: --json and --junit both write it; give each a file of its own\n"
