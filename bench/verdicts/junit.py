"""JUnit XML (xunit2), as CI systems show it: a case a benchmark, and one a judged accuracy.

Whether a case failed is the severity that the judge gave it: a regression has a failure or an error, a pass has none.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.verdicts.verdict import ERROR, FAILURE, NOT_JUDGED, PASSED, Verdict, format_accuracy

ELEMENTS = {FAILURE: "failure", ERROR: "error", NOT_JUDGED: "skipped", PASSED: ""}
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(header: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """One suite, one case a benchmark, then `accuracy of NAME` of every judged one.

    The text stands in the body too: GitLab does not show attributes."""
    machine = header.get("machine") or {}
    started = datetime.fromtimestamp(header.get("started_s") or 0, UTC)
    cases = [(one, one.head_middle_s if one.head_s else 0.0) for one in verdicts]
    cases += [(_of_accuracy(row), 0.0) for row in header.get("accuracy") or [] if row.get("severity")]
    elements = [ELEMENTS[one.severity] for one, _ in cases]
    counts = {
        "tests": len(cases),
        "failures": elements.count("failure"),
        "errors": elements.count("error"),
        "skipped": elements.count("skipped"),
    }
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": clean(header.get("title") or "lenet-bench"),
            **{name: str(count) for name, count in counts.items()},
            "time": "0",
            "timestamp": started.strftime("%Y-%m-%dT%H:%M:%S"),  # the schema has no zone
            "hostname": clean(machine.get("hostname") or "unknown"),
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    shown = {name: header[name] for name in ("base", "head", "outcome", "summary", "commit") if header.get(name)}
    for name, value in {**shown, **(header.get("settings") or {})}.items():
        ElementTree.SubElement(properties, "property", {"name": clean(name), "value": clean(value)})
    for (one, seconds), element in zip(cases, elements, strict=True):
        attributes = {"classname": "lenet-bench", "name": clean(one.name), "time": f"{seconds:.9f}"}
        case = ElementTree.SubElement(suite, "testcase", attributes)
        text = clean(one.sentence)
        if element:
            attributes = {"message": text} if element == "skipped" else {"message": text, "type": one.verdict}
            ElementTree.SubElement(case, element, attributes).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = text
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _of_accuracy(row: Mapping[str, Any]) -> Verdict:
    """A judged accuracy as a verdict like the others; its change stands in the note, in points."""
    points = format_accuracy(row)
    note = "; ".join(part for part in (f"{points} points over {row['seeds']} seeds", row.get("note", "")) if part)
    return Verdict(f"accuracy of {row['name']}", row["verdict"], note=note, severity=row["severity"])


def clean(value: object) -> str:
    """A value as XML may hold it."""
    return NOT_XML.sub("?", str(value))
