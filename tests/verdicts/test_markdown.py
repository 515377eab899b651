"""Markdown of a comparison: the worst first, and nothing breaks out of a cell."""

from fakes.verdict_list import HEADER, VERDICT_LIST

from bench.verdicts.markdown import write_markdown


def test_markdown_shows_the_worst_first_and_nothing_breaks_out():
    lines = write_markdown(HEADER, VERDICT_LIST).splitlines()
    assert lines[0] == "### gate &lt;main&gt;"
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| benchmark", "| trial"))]
    assert rows[0].startswith("| relu/step | 999.9 us | 1.1 ms | +10.0 % [+8.0, +12.0] | 0.0004 | **slower**")
    assert rows[1].startswith("| broke/step")
    assert sum("step" in row for row in rows) == len(VERDICT_LIST)
    assert any(row.startswith("| same \\| &lt;b&gt;/step") for row in rows)
    assert rows[-1] == "| relu | -1.20 [-2.00, -0.40] | 3 |"
    assert lines.index("<details><summary>3 faster or the same</summary>") < lines.index("</details>")
    assert "<details>" not in write_markdown(HEADER, VERDICT_LIST[:1])
    assert "- a note \\*with\\* signs" in lines
    assert write_markdown({}, []).strip() == "### lenet-bench compare"
