"""The severity of a verdict: set by who judges, repeated by JUnit, whatever the judge was given."""

import random
import xml.etree.ElementTree as ElementTree

from fakes.scripted_pairs import NAMES, make_pair

from bench.compare.judge import compare
from bench.compare.side import Measured, Side
from bench.gate.decision import decide
from bench.gate.settings import Settings
from bench.gate.sides.channel import CONTROL
from bench.statistics.unpaired import log_time
from bench.verdicts.junit import write_junit
from bench.verdicts.markdown import write_markdown
from bench.verdicts.text import write_text

OUTCOMES = {"pass", "inconclusive", "regression", "no verdict"}


def junit_counts(text):
    """Failures and errors together, as the attributes say and as the elements are."""
    suite = ElementTree.fromstring(text).find("testsuite")
    said = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    elements = sum(len(case.findall("failure")) + len(case.findall("error")) for case in suite.iter("testcase"))
    assert said == elements
    assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
    return said


def drawn_gate(draw):
    """A gate of a few benchmarks: slowed, broken, removed or added ones, accuracies, a tilted machine, any settings."""
    names = NAMES[: draw.randint(1, 4)]
    shifts = {name: draw.choice([0.0, 0.0, 0.2, -0.2]) for name in names}
    shifts[CONTROL] = draw.choice([0.0, 0.0, 0.0, 0.1])
    failed = {side: {name: "broke" for name in names if draw.random() < 0.1} for side in ("base", "head")}
    broken = {*failed["base"], *failed["head"]}
    pairs = [
        make_pair(stage, number, {n: s + draw.gauss(0, 0.003) for n, s in shifts.items() if n not in broken}, failed)
        for stage, count in (("screen", 8), ("confirm", 24))
        for number in range(count)
    ]
    base, head = ([name for name in names if draw.random() < 0.9] for _ in range(2))
    drops = {name: draw.choice([0.0, 0.0, 0.05, None]) for name in ("relu", "tanh")[: draw.randint(0, 2)]}
    trained = {
        side: [
            {
                "name": name,
                "seed": seed,
                "reason": "",
                "accuracy": None if lost else 0.9 - (side == "head") * (drop or 0),
            }
            for name, drop in drops.items()
            for seed in range(12)
            for lost in [drop is None and side == "head"]
        ]
        for side in ("base", "head")
    }
    settings = Settings(allow_removed=draw.random() < 0.3, strict=draw.random() < 0.3)
    decision = decide(settings, pairs, base, head, trained)
    return decision.outcome, {"accuracy": decision.accuracies}, decision.verdicts


def drawn_compare(draw):
    """Two stored sides, of one machine or two, with benchmarks that are slower, failed, or on one side only."""
    sides = []
    for machine in ("m1", draw.choice(["m1", "m1", "m1", "m2"])):
        benchmarks = []
        for name in NAMES[:4]:
            kind = draw.choice(["time", "time", "time", "slow", "failed", "none"])
            seconds = [(2e-3 if kind == "slow" else 1e-3) * (1 + draw.gauss(0, 0.005)) for _ in range(8)]
            if kind in ("time", "slow"):
                benchmarks.append(Measured(name, name, time=log_time(seconds), seconds=seconds))
            elif kind == "failed":
                benchmarks.append(Measured(name, name, reason="failed: crash"))
        sides.append(Side("side", {"id": machine, "torch": "2"}, benchmarks))
    done = compare(*sides)
    return done.header["outcome"], done.header, done.verdicts


def test_junit_is_red_where_the_outcome_is_a_regression_and_only_there():
    number = random.SystemRandom().randrange(2**32)
    print(f"seed {number}")
    draw = random.Random(number)
    seen = set()
    for judge, times in ((drawn_gate, 150), (drawn_compare, 150)):
        for _ in range(times):
            outcome, header, verdicts = judge(draw)
            seen.add(outcome)
            red = junit_counts(write_junit(header, verdicts))
            assert (red > 0) == (outcome == "regression"), (number, judge.__name__, outcome, verdicts, header)
    assert seen == OUTCOMES, number


def test_a_removed_benchmark_and_a_worse_accuracy_are_failures_of_their_own():
    pairs = [make_pair("screen", number, {NAMES[0]: 0.0, CONTROL: 0.0}) for number in range(8)]
    trained = {
        side: [{"name": "relu", "seed": seed, "accuracy": accuracy, "reason": ""} for seed in range(12)]
        for side, accuracy in (("base", 0.95), ("head", 0.9))
    }
    decision = decide(Settings(), pairs, NAMES[:2], NAMES[:1], trained)
    assert decision.outcome == "regression"
    header = {"accuracy": decision.accuracies}
    suite = ElementTree.fromstring(write_junit(header, decision.verdicts)).find("testsuite")
    inside = {case.attrib["name"]: [child.tag for child in case] for case in suite.iter("testcase")}
    assert inside == {NAMES[0]: ["system-out"], NAMES[1]: ["failure"], "accuracy of relu": ["failure"]}
    message = suite.find("testcase[@name='accuracy of relu']/failure").text
    assert message == "accuracy of relu: worse, -5.00 [-5.00, -5.00] points over 12 seeds"
    assert "-5.00 [-5.00, -5.00] **worse** |" in write_markdown(header, decision.verdicts)
    assert "-5.00 [-5.00, -5.00] worse" in write_text(header, decision.verdicts)


def test_a_missing_benchmark_does_not_fail_compare():
    seconds = [1e-3, 1.001e-3, 1.002e-3]
    one, two = (Measured(name, name, time=log_time(seconds), seconds=seconds) for name in NAMES[:2])
    place = {"id": "m1", "torch": "2"}
    done = compare(Side("base", place, [one, two]), Side("head", place, [one]))
    assert (done.exit_code, {v.name: v.severity for v in done.verdicts}[two.name]) == (0, "not judged")
    assert junit_counts(write_junit(done.header, done.verdicts)) == 0
