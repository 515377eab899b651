"""Accuracy against step time: the front is joined and named, what failed to learn is named in a note."""

from fakes.made_run import make_record, make_run
from matplotlib.figure import Figure

from bench.analysis.results import Results
from bench.report.scatter import draw_scatter


def test_the_front_is_named_and_what_did_not_learn_is_a_note(tmp_path):
    rows = [("relu", 0.98, 2e-3), ("tanh", 0.97, 1e-3), ("gelu", 0.96, 3e-3), ("elu", 0.10, 1e-3)]
    records = [make_record({"activation": name}, (top, top - 0.002), (s, 1.01 * s)) for name, top, s in rows]
    records.append(make_record({"activation": "silu"}, status="failed", reason="x"))
    results = Results.of(make_run(tmp_path / "r", records, {"activation": [name for name, *_ in rows]}))
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    draw_scatter(figure, results.ranked, results.table)
    axes = figure.axes[0]
    assert {"relu", "tanh"} <= {text.get_text() for text in axes.texts}
    assert figure.legends[0].get_title().get_text() == "below the scale: elu; 1 failed"
    assert axes.get_ylim()[0] > 50
