import pytest
from support.states import make_change, make_ref

from zuul_launcher.report.pattern import PatternError, facts_of_build, facts_of_change, fill, named

CHANGE = facts_of_change(make_change("4711", "3", "lib/beta"))
REF = facts_of_change(make_ref())
BUILD = facts_of_build(None, {"LOG_PATH": "11/4711/3", "NUMBER": 7, "a.b": "dotted", "none": None})


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("plain", "plain"),
        ("{change.number},{change.patchset} {change.branch}", "4711,3 main"),
        ("{change.project} {change.project.name}", "lib/beta lib/beta"),
        ("{change}", "4711,3"),
        ("{build.parameters[LOG_PATH]}/{build.parameters[NUMBER]:03d}", "11/4711/3/007"),
        ("{build.parameters[a.b]}", "dotted"),
        ("{build.parameters[none]} {build.number}", "None None"),
        ("{{literal}} {change.number!r}", "{literal} '4711'"),
        ("{change.number:>{build.parameters[NUMBER]}}", "   4711"),
    ],
)
def test_a_pattern_is_filled_in_like_str_format(pattern: str, text: str) -> None:
    assert fill(pattern, change=CHANGE, build=BUILD) == text


@pytest.mark.parametrize(
    "pattern",
    [
        "{change.__class__}",
        "{change.__class__.__mro__}",
        "{change.facts}",
        "{change.number.upper}",
        "{change._x}",
        "{change[number]}",
        "{build.parameters.keys}",
        "{build.parameters.LOG_PATH}",
        "{build.parameters[missing]}",
        "{build.parameters[__class__]}",
        "{build.parameters[LOG_PATH][0]}",
        "{__import__}",
        "{}",
        "{0}",
        "{change.number",
        "{change.number}}",
        "{change.number:d}",
        "{change.number:>100000000}",
        "{build.number:5}",
        "{build.parameters[NUMBER]:{build.parameters[NUMBER]:{change}}}",
    ],
)
def test_a_field_that_is_not_listed_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        fill(pattern, change=CHANGE, build=BUILD)


def test_a_number_too_large_for_its_format_is_refused() -> None:
    with pytest.raises(PatternError):
        fill("{build.parameters[n]:c}", build=facts_of_build(None, {"n": 10**30}))


def test_a_value_too_long_for_a_link_is_refused() -> None:
    with pytest.raises(PatternError):
        fill("{job}", job=named("x" * 5000))


@pytest.mark.parametrize("name", ["number", "patchset", "branch", "refspec"])
def test_a_ref_has_no_fields_of_a_change(name: str) -> None:
    with pytest.raises(PatternError):
        fill(f"{{change.{name}}}", change=REF)


@pytest.mark.parametrize("name", ["ref", "newrev", "oldrev"])
def test_a_change_has_no_fields_of_a_ref(name: str) -> None:
    with pytest.raises(PatternError):
        fill(f"{{change.{name}}}", change=CHANGE)


def test_a_ref_shows_its_own_fields() -> None:
    assert fill("{change.ref} {change.newrev} {change.url}", change=REF) == f"refs/heads/main {'2' * 40} None"
