"""The page of claims: findings in, a table for the terminal, Markdown and pictures out.

`results/reference/history.md` is made here and never written by hand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.analysis.claims import NOT_REPRODUCED, NOT_RUN, REPRODUCED, Finding
from bench.analysis.rejection import ranked_seeds
from bench.records.files import whole_file, write_whole
from bench.report.curves import draw_rejection
from bench.report.style import COLOURS, QUIET, STYLE, shorten
from bench.statistics.intervals import mean_interval
from bench.text.markdown import escape, write_table
from bench.text.numbers import format_exact_count, format_percent_bounds, format_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.figure import Figure
    from rich.table import Table

    from bench.records.reading import Reading
    from bench.records.record import Record


HEADERS = ("claim", "source", "published", "ours [95 %]", "verdict", "note")
REJECTION = "history_1990_rejection"
HOW = (
    "A figure is *reproduced* if our 95 % interval contains it or is wholly better than it; an order if every pair is "
    "significant at 5 %, all pairs of the claim together (Bonferroni), paired by seed. The interval is Student's over "
    "seeds, and so says how the mean of repeated trainings varies, not how other test images would; that of a rejected "
    "share is over the test images too. *Data differ*: the figure was measured on other images. *Only remembered*: no "
    "text at hand, shown for orientation and never judged. Errors and rejected shares in percent."
)


def cells(finding: Finding) -> tuple[str, ...]:
    """A finding as texts, in the order of `HEADERS`."""
    claim, ours = finding.claim, finding.ours
    if claim.pairs:
        published, own = "an order", "" if ours.n == 0 else f"{format_points(ours.value, ours.low, ours.high)} points"
    elif claim.exact is not None:
        published, own = format_exact_count(claim.exact), format_exact_count(ours.value)
    else:
        published = f"{claim.published:g} %"
        own = format_percent_bounds(ours.value, ours.low, ours.high) if ours.n else ""
    return claim.text, claim.source, published, own, finding.verdict, finding.note


def terminal_table(findings: Sequence[Finding]) -> Table:
    """The findings for a terminal; the sources are on the page."""
    from rich.table import Table
    from rich.text import Text

    view = Table(box=None, pad_edge=False)
    shown = [place for place, header in enumerate(HEADERS) if header != "source"]
    for place in shown:
        view.add_column(HEADERS[place], overflow="fold", no_wrap=HEADERS[place] in ("published", "verdict"))
    for finding in findings:
        style = "green" if finding.verdict == REPRODUCED else "dim" if finding.verdict == NOT_RUN else ""
        row = cells(finding)
        view.add_row(*(Text(row[place]) for place in shown), style=style)
    return view


def markdown_table(findings: Sequence[Finding]) -> str:
    """The findings as a Markdown table."""
    return "\n".join(write_table(HEADERS, map(cells, findings))) + "\n"


def to_json(findings: Sequence[Finding]) -> str:
    """The findings as a JSON list, unknown numbers as null."""
    rows = [dict(zip(HEADERS, cells(finding), strict=True)) for finding in findings]
    for row, finding in zip(rows, findings, strict=True):
        ours = finding.ours
        numbers = {"ours": ours.value, "ours_low": ours.low, "ours_high": ours.high}
        row |= {name: None if math.isnan(value) else value for name, value in numbers.items()}  # type: ignore[misc]
    return json.dumps(rows, indent=1)


def summary(findings: Sequence[Finding]) -> str:
    """How many claims got which verdict."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
    return f"{len(findings)} claims: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + "."


def write_page(folder: Path, findings: Sequence[Finding], readings: Mapping[str, Reading]) -> list[Path]:
    """Writes `history.md` and its pictures into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_pictures(folder, findings, readings)
    parts = ["# What the literature claims, and what this suite finds", ""]
    parts += [
        "Made by `lenet-bench claims --write FOLDER` from the runs named below.",
        "",
        summary(findings),
        "",
        HOW,
        "",
    ]
    parts += [markdown_table(findings)]
    for path, caption in pictures:
        parts += [f"![{caption}]({path.name})", "", f"*{caption}*", ""]
    parts += ["## Runs", ""]
    for name, reading in readings.items():
        machine, experiment = reading.run.machine, reading.run.experiment
        git, seeds = experiment.get("git") or {}, len(experiment.get("seeds", []))
        hours = sum(seed.wall_s for record in reading for seed in record.seeds) / 3600
        parts.append(
            f"- `{experiment.get('command', '')}`: {escape(name)}, {len(reading)} trials x {seeds} "
            f"seeds, {hours:.2f} core hours of training; {escape(machine.get('cpu', ''))}, torch "
            f"{escape(machine.get('torch', ''))}, commit {escape((git.get('commit') or '')[:12])}"
        )
    path = folder / "history.md"
    write_whole(path, "\n".join(parts) + "\n")
    return [path, *(path for path, _ in pictures)]


def draw_pictures(folder: Path, findings: Sequence[Finding], readings: Mapping[str, Reading]) -> list[tuple[Path, str]]:
    """What there is data for: figures beside the published ones, errors by network, rejection. Paths and captions."""
    import matplotlib
    from matplotlib.figure import Figure

    figures = [f for f in findings if f.claim.published is not None and f.ours.n]
    drawings: list[tuple[str, str, tuple[float, float], Any]] = []
    if figures:
        caption = "Published figures (open) and ours with 95 % intervals: green reproduced, orange not, grey not judged"
        size = (8.4, 1.2 + 0.3 * len(figures))
        drawings.append(("history_figures", caption, size, lambda f: draw_figures(f, figures)))
    for name, caption in (
        ("history_1989_generalization", "Test error of the networks of 1989 over draws of 480 digits"),
        ("modern_lenet", "What each modern step adds to the network of 1989, on zip codes"),
    ):
        if name in readings:
            size = (7.2, 1.2 + 0.34 * len(readings[name]))
            drawings.append((name, caption, size, lambda f, name=name: draw_errors(f, readings[name])))
    if REJECTION in readings:
        keys = [record.key for record in readings[REJECTION] if ranked_seeds(record)]
        if keys:
            caption = "Error on the answered images against the share refused"
            drawings.append((REJECTION, caption, (7.2, 4.6), lambda f: draw_rejection(f, readings[REJECTION], keys)))
    made = []
    with matplotlib.rc_context(STYLE):
        for name, caption, size, draw in drawings:
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            path = folder / f"{name}.png"
            with whole_file(path) as file:
                figure.savefig(file, format="png", dpi=110)
            made.append((path, caption))
    return made


def draw_figures(figure: Figure, findings: Sequence[Finding]) -> None:
    """One row a claim: the published figure as an open circle, ours as a dot with its interval."""
    axes = figure.subplots()
    for place, finding in enumerate(findings):
        ours = finding.ours
        colour = {REPRODUCED: COLOURS[2], NOT_REPRODUCED: COLOURS[3]}.get(finding.verdict, QUIET)
        bounds = [[max(0.0, ours.value - ours.low)], [max(0.0, ours.high - ours.value)]]
        error = None if math.isnan(ours.low) else bounds
        axes.errorbar([ours.value], [place], xerr=error, fmt="o", ms=5, lw=1.2, color=colour)
        axes.plot([finding.claim.published or 0.0], [place], "o", ms=7, mfc="none", mec="black")
    axes.set_xscale("log")
    axes.set_ylim(-0.6, len(findings) - 0.4)
    axes.set_yticks(range(len(findings)), [finding.claim.text for finding in findings], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("percent")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10, 20], ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20"])
    axes.minorticks_off()


def draw_errors(figure: Figure, records: Iterable[Record]) -> None:
    """One row a trial: each seed's test error as a faint dot, the mean with its interval."""
    axes = figure.subplots()
    shown = [record for record in records if record.status == "ok"]
    for place, record in enumerate(shown):
        errors = [100 * (1 - accuracy) for accuracy in record.accuracies().values()]
        mean = mean_interval(errors)
        axes.plot(np.array(errors), np.full(len(errors), place), "o", ms=3, color=QUIET, alpha=0.4)
        bounds = None if math.isnan(mean.low) else [[mean.value - mean.low], [mean.high - mean.value]]
        axes.errorbar([mean.value], [place], xerr=bounds, fmt="o", ms=6, lw=1.5, color=COLOURS[0])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_yticks(range(len(shown)), [shorten(record.name) for record in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("test error (%): each seed, and the mean with its 95 % interval")
