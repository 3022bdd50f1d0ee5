"""Patterns as Ant writes them."""

import pytest

from zuul_launcher.remoting import globs


def matches(patterns: list[str], path: str, excludes: list[str] | None = None) -> bool:
    """As a walk asks: name by name, and never below a folder where nothing can match."""
    selection = globs.select(patterns, excludes or [])
    places = selection.start()
    names = path.split("/")
    for number, name in enumerate(names):
        places = selection.enter(places, name)
        if number < len(names) - 1 and not selection.goes_on(places):
            return False
    return selection.is_match(places)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*", "a"),
        ("*.xml", ".xml"),
        ("a?c", "abc"),
        ("**", "a/b/c"),
        ("**/*.xml", "TEST.xml"),
        ("**/*.xml", "a/b/TEST.xml"),
        ("a/**/b", "a/b"),
        ("a/**/b", "a/x/y/b"),
        ("a/**", "a/x/y"),
        ("logs/", "logs/x/y"),
        ("./a//b", "a/b"),
        ("**/**/a", "x/a"),
        ("a*b*c", "a-b-b-c"),
        ("[a]", "[a]"),
        ("a**b", "axxb"),
        ("ü?", "üé"),
    ],
)
def test_a_pattern_matches(pattern: str, path: str) -> None:
    assert matches([pattern], path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*", "a/b"),
        ("*.xml", "a/b.xml"),
        ("a?c", "ac"),
        ("a?c", "a/c"),
        ("**/b", "b/c"),
        ("[a]", "a"),
        ("A", "a"),
        ("a.c", "abc"),
        ("logs/", "log"),
        ("a*b", "abc"),
        ("", ""),
    ],
)
def test_a_pattern_does_not_match(pattern: str, path: str) -> None:
    assert not (pattern and matches([pattern], path))


def test_an_excluded_folder_is_excluded_with_all_that_is_in_it() -> None:
    assert matches(["**/*.log"], "a/b.log", excludes=["c/**"])
    assert not matches(["**/*.log"], "a/x/b.log", excludes=["a/**"])
    assert not matches(["**/*.log"], "a/x/b.log", excludes=["a"])
    assert not matches(["**/*.log"], "a/b.log", excludes=["**/b.*"])


@pytest.mark.parametrize("pattern", ["/etc/*", "../*", "a/../../b", "", ".", "a\0b"])
def test_a_pattern_that_leads_out_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        globs.parse(pattern)


def test_a_text_instead_of_a_list_of_patterns_is_refused() -> None:
    with pytest.raises(TypeError, match=r"as a list"):
        globs.select("*.xml")


def test_no_pattern_takes_long() -> None:
    assert not globs.matches_name("*a" * 200 + "b", "a" * 255)
    assert not matches(["/".join(["**", "*a"] * 50) + "/b"], "/".join(["aaaa"] * 200))
