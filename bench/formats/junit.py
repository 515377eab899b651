"""JUnit XML (xunit2), as CI systems show it: slower is a failure, broken an error, not judged is skipped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.formats.numbers import middle
from bench.verdict import FAILED, FAILING, UNJUDGED, Verdict

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(header: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """One suite, one case a benchmark. The text stands in the body too: GitLab does not show attributes."""
    machine = header.get("machine") or {}
    started = datetime.fromtimestamp(header.get("started_s") or 0, UTC)
    counts = {
        "tests": len(verdicts),
        "failures": sum(_element(one) == "failure" for one in verdicts),
        "errors": sum(_element(one) == "error" for one in verdicts),
        "skipped": sum(_element(one) == "skipped" for one in verdicts),
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
    for one in verdicts:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {
                "classname": "lenet-bench",
                "name": clean(one.name),
                "time": f"{middle(one.head_s) if one.head_s else 0:.9f}",
            },
        )
        element, text = _element(one), clean(one.sentence)
        if element:
            attributes = {"message": text} if element == "skipped" else {"message": text, "type": one.verdict}
            ElementTree.SubElement(case, element, attributes).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = text
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _element(one: Verdict) -> str:
    """What a case of this verdict holds; "" for one that passed."""
    if one.verdict in FAILING:
        return "error" if one.verdict == FAILED else "failure"
    return "skipped" if one.verdict in UNJUDGED else ""


def clean(value: object) -> str:
    """A value as XML may hold it."""
    return NOT_XML.sub("?", str(value))
