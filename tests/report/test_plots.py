"""Pictures of runs with an ordinary and with odd shapes: the right ones, whole, with nothing cut off or overlapping."""

import re

import pytest
from fakes.made_run import ODD, make_record, make_run, odd_run, sweep
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Annotation

from bench.analysis.results import Results
from bench.report.plots import draw_plots

DRAWN = {
    "one trial": ["training_curves"],
    "one seed, one epoch, one process": ["accuracy_step_time", "main_effects", "training_curves"],
    "timing off": ["main_effects", "training_curves"],
    "synthetic": ["throughput"],
    "nothing learned": ["accuracy_step_time", "main_effects", "training_curves"],
    "some lost": ["accuracy_step_time", "main_effects", "training_curves"],
    "moving together": ["accuracy_step_time", "training_curves", "throughput"],
    "hostile": ["accuracy_step_time", "main_effects", "training_curves"],
}
"""What there is to draw of each odd run; nothing of the others."""


def draw(run):
    return draw_plots(Results.of(run))


@pytest.fixture
def figures(monkeypatch):
    """The figures as they are when they are saved, each looked over."""
    seen = []
    save = Figure.savefig

    def look(figure, path, **options):
        save(figure, path, **options)
        if figure not in seen:
            seen.append(figure)
            check_layout(figure)

    monkeypatch.setattr(Figure, "savefig", look)
    return seen


def check_layout(figure):
    """Nothing reaches over the figure's edge, and no two names of points lie on each other."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    drawn, (width, height) = figure.get_tightbbox(renderer), figure.get_size_inches()
    assert drawn.x0 > -0.03
    assert drawn.y0 > -0.03
    assert drawn.x1 < width + 0.03
    assert drawn.y1 < height + 0.03
    for axes in figure.axes:
        names = [text.get_window_extent(renderer) for text in axes.texts if isinstance(text, Annotation)]
        for place, one in enumerate(names):
            assert not any(one.overlaps(other) for other in names[:place])


def text_of(path):
    """The texts of an SVG, in which letters are kept as letters."""
    return re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("odd", ODD)
def test_what_is_drawn_of_odd_runs(tmp_path, figures, odd):
    paths = draw(odd_run(tmp_path / "run", odd))
    expected = DRAWN.get(odd, [])
    assert [path.name for path in paths] == [f"{name}.{suffix}" for name in expected for suffix in ("png", "svg")]
    assert len(figures) == len(expected)
    for path in paths:
        if path.suffix == ".png":
            picture = imread(path)
            assert picture[..., :3].std() > 0.02, "an empty picture"
        else:
            assert path.read_text(encoding="utf-8").rstrip().endswith("</svg>")
    assert not list(tmp_path.rglob("*.part*"))


def test_names_are_in_the_pictures_as_text(tmp_path, figures):
    paths = {path.name: path for path in draw(sweep(tmp_path / "run"))}
    for name in ("relu", "tanh", "1 failed", "Pareto front"):
        assert name in text_of(paths["accuracy_step_time.svg"])
    assert "activation = tanh" in text_of(paths["main_effects.svg"])
    assert "gelu" not in text_of(paths["training_curves.svg"])


def test_a_large_sweep_stays_readable(tmp_path, figures):
    """Sixty trials with like names and close results, of which a third did not learn."""
    axes = {
        "activation": ["relu", "scaled_tanh", "hardswish"],
        "pooling": ["max", "strided_conv", "subsampling", "avg"],
        "batch_size": [16, 32, 64, 128, 256],
    }
    records = []
    for i, act in enumerate(axes["activation"]):
        for j, pool in enumerate(axes["pooling"]):
            for k, size in enumerate(axes["batch_size"]):
                accuracy = 0.1 if act == "hardswish" else 0.98 - 0.002 * i - 0.001 * j - 0.004 * k
                step = 1e-4 * size * (1 + 0.05 * j + 0.02 * i)
                knobs = {"activation": act, "pooling": pool, "batch_size": size}
                records.append(make_record(knobs, (accuracy, accuracy + 0.003), (step, 1.02 * step, 0.99 * step)))
    paths = {path.name: path for path in draw(make_run(tmp_path / "run", records, axes))}
    assert len(paths) == 8
    assert "and 15 more" in text_of(paths["accuracy_step_time.svg"])
    assert "(60 trials; the best 7 and the last)" in text_of(paths["training_curves.svg"])
    assert text_of(paths["throughput.svg"]).count("strided_conv") == 3
