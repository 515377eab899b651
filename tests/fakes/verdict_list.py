"""A verdict of every kind, and the header of a comparison, with texts that try to break out."""

from bench.verdicts.verdict import SEVERITIES, Verdict, grade

HEADER = {
    "title": "gate <main>", "base": "main 0123abc", "head": "work | 4567def", "outcome": "regression",
    "summary": "regression: 1 slower", "notes": ["a note *with* signs"], "commit": "4567def",
    "started_s": 1_760_000_000,
    "machine": {"hostname": "here", "cpu": "Testing 3000", "cores": 2, "id": "m1", "torch": "2.13.0"},
    "settings": {"tolerance": 0.05, "alpha": 0.01},
    "accuracy": [{"name": "relu", "difference": -0.012, "low": -0.02, "high": -0.004, "seeds": 3}],
}  # fmt: skip
BASE, HEAD = [1e-3, 1.02e-3, 0.98e-3], [1.1e-3, 1.12e-3, 1.08e-3]
VERDICT_LIST = grade(
    [
        Verdict("same | <b>/step", "same", BASE, BASE, 1.0, 0.99, 1.01, 1.0),
        Verdict("relu/step", "slower", BASE, HEAD, 1.1, 1.08, 1.12, 0.0004),
        Verdict("tanh/step", "faster", HEAD, BASE, 0.91, 0.89, 0.93, 0.002),
        Verdict("gelu/step", "unknown", BASE, HEAD, 1.1, 0.8, 1.5, 0.4, "the interval is wider than the tolerance"),
        Verdict("gone/step", "missing", BASE, note="only the base has it"),
        Verdict("fresh/step", "new", [], HEAD, note="only the head has it"),
        Verdict("broke/step", "failed", BASE, note="killed \x00 by \ud800 signal 11 & <more>"),
        Verdict("known/step", "accepted", BASE, HEAD, 1.1, 1.08, 1.12, 0.0004, "accepted until 2027-01-01"),
        Verdict("single/step", "same", [1e-3], [1e-3], 1.0),
    ],
    SEVERITIES,
)
