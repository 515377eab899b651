"""Settings of the gate: from pyproject.toml and the command line, refused in one line where they are wrong."""

import datetime

import pytest

from bench.errors import GateError
from bench.gate.settings import Settings, read_settings


def written(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    return read_settings(tmp_path, {})


def test_settings_come_from_pyproject_and_the_command_line_goes_first(tmp_path):
    text = '[tool.lenet-bench.gate]\nfloor = 0.03\nalpha = 0.02\nfloors = { "*/step" = 0.1 }\nstrict = true\n'
    (tmp_path / "pyproject.toml").write_text(text)
    settings, notes = read_settings(tmp_path, {"floor": 0.04})
    assert settings == Settings(floor=0.04, alpha=0.02, floors={"*/step": 0.1}, strict=True)
    assert notes == []
    assert read_settings(tmp_path / "elsewhere", {}) == (Settings(), [])


def test_an_accepted_entry_counts_until_its_day_is_over(tmp_path):
    today = datetime.date.today()
    table = '[[tool.lenet-bench.gate.accepted]]\nbenchmark = "{}"\nreason = "why"\nuntil = {}\n'
    days = {"now": today, "gone": today - datetime.timedelta(days=1)}
    settings, notes = written(tmp_path, "".join(table.format(*item) for item in days.items()))
    assert settings.accepted == {"now": f"why (until {today})"}
    assert notes == [f"accepted entry for gone is void since {days['gone']}"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("flor = 0.1", "unknown key 'flor'; did you mean 'floor'"),
        ("floor = -0.1", "floor: -0.1 is not a number of at least 0"),
        ("floor = nan", "floor: nan is not"),
        ("floor = inf", "floor: inf is not"),
        ('floor = "2 %"', "floor: '2 %' is not"),
        ("floor = true", "floor: True is not"),
        ("alpha = 0", "alpha: 0 is not a number above 0"),
        ("alpha = 1.5", "alpha: 1.5 is not"),
        ("screen_pairs = 0", "a whole number of at least 1"),
        ("confirm_pairs = 24.5", "a whole number of at least 1"),
        ("alternations = 0", "a whole number of at least 1"),
        ("strict = 1", "strict: 1 is not true or false"),
        ("floors = 0.1", "floors: 0.1 is not a table"),
        ('floors = { "a" = -1 }', "is not a table"),
        ("accepted = 3", "accepted: 3 is not a list of tables"),
        ('accepted = ["x"]', "accepted: 'x' needs benchmark, reason and until"),
        ('accepted = [{ benchmark = "x", reason = "y", until = "2026-01-01" }]', "is not a date"),
        ('accepted = [{ benchmark = "x", reason = "y", until = 2026-01-01T10:00:00 }]', "is not a date"),
        ("floor = ", "not TOML"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(tmp_path, line, message):
    with pytest.raises(GateError) as caught:
        written(tmp_path, f"[tool.lenet-bench.gate]\n{line}\n")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nlenet-bench = []", "[tool.lenet-bench]\ngate = 3"])
def test_a_table_that_is_none_is_refused(tmp_path, text):
    with pytest.raises(GateError, match="not a table"):
        written(tmp_path, text)


def test_a_mark_of_the_byte_order_in_front_is_no_setting(tmp_path):
    """Some editors write it, and none shows it."""
    settings, _ = written(tmp_path, "\ufeff[tool.lenet-bench.gate]\nfloor = 0.03\n")
    assert settings.floor == 0.03
