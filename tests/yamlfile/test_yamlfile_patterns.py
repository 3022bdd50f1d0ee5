"""Patterns written for Python 2 work; what is no pattern is refused."""

import re

import pytest

from zuul_launcher.yamlfile.patterns import InvalidPattern, normal_pattern


@pytest.mark.parametrize("text", ["", "^master$", "(?im)^recheck", "(?!^REL)", "[[]", r"\(?i\)"])
def test_a_pattern_of_today_stays_as_it_is(text: str) -> None:
    assert normal_pattern(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("^recheck(?i)", "(?i)^recheck"),
        (" (?i)a(?m)b(?i)", "(?im) ab"),
        ("[(?i)]x(?i)", "(?i)[(?i)]x"),
        ("[]](?s).[^]](?s)", "(?s)[]].[^]]"),
        (r"\[(?i)\(?x", r"(?i)\[\(?x"),
    ],
)
def test_flags_inside_a_pattern_move_to_its_front(text: str, expected: str) -> None:
    assert normal_pattern(text) == expected
    re.compile(expected)


@pytest.mark.parametrize("text", ["(", "a(?i)(", "*", "[a", "a{99999999999}", "(" * 5000 + ")" * 5000, "(?L)x"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidPattern):
        normal_pattern(text)
