"""JUnit: counts, elements and the schema of xunit2."""

import xml.etree.ElementTree as ElementTree

import pytest
from fakes.verdict_list import HEADER, VERDICT_LIST

from bench.verdicts.junit import write_junit


def test_junit_maps_verdicts_and_repeats_the_text_in_the_body():
    text = write_junit(HEADER, VERDICT_LIST)
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    suite = root.find("testsuite")
    assert suite.attrib["timestamp"] == "2025-10-09T08:53:20"
    assert suite.attrib["hostname"] == "here"
    assert suite.find("properties/property[@name='tolerance']").attrib["value"] == "0.05"
    cases = {case.attrib["name"]: case for case in suite.iter("testcase")}
    inside = {name: [child.tag for child in case] for name, case in cases.items()}
    assert inside["relu/step"] == ["failure"]
    assert inside["broke/step"] == ["error"]
    assert [inside[f"{name}/step"] for name in ("gelu", "gone", "fresh")] == [["skipped"]] * 3
    assert [inside[name] for name in ("tanh/step", "known/step", "same | <b>/step")] == [["system-out"]] * 3
    for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.attrib[attribute]) == sum(tag in tags for tags in inside.values())
    assert int(suite.attrib["tests"]) == len(cases) == len(VERDICT_LIST)
    failure = cases["relu/step"].find("failure")
    assert failure.text == failure.attrib["message"]
    assert "+10.0 % [+8.0, +12.0]" in failure.text
    assert cases["broke/step"].find("error").text == "broke/step: failed, killed ? by ? signal 11 & <more>"
    assert float(cases["relu/step"].attrib["time"]) == pytest.approx(1.1e-3, rel=1e-3)


def test_junit_has_only_what_the_schema_of_xunit2_allows():
    allowed = {
        "testsuites": set(),
        "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
        "property": {"name", "value"}, "properties": set(), "testcase": {"classname", "name", "time"},
        "failure": {"message", "type"}, "error": {"message", "type"}, "skipped": {"message"}, "system-out": set(),
    }  # fmt: skip
    for element in ElementTree.fromstring(write_junit({}, VERDICT_LIST)).iter():
        assert set(element.attrib) == allowed[element.tag]
