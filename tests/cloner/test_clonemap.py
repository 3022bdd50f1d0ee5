"""Where a clone map sends projects, and what is wrong with one."""

from pathlib import Path

import pytest

from zuul_launcher.cloner.clonemap import destinations, read_rules
from zuul_launcher.errors import ConfigurationError, RequestError


def places(projects: list[str], tmp_path: Path, text: str | None = None) -> dict[str, str]:
    if text is not None:
        (tmp_path / "map.yaml").write_text(text)
    rules = read_rules(tmp_path / "map.yaml") if text is not None else []
    return {project: str(place) for project, place in destinations(projects, rules).items()}


def entry(name: str, destination: str) -> str:
    return f"  - name: '{name}'\n    dest: '{destination}'\n"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (None, ["core", "core/ext/a", "core/ext/b"]),
        (("core", "."), [".", "core/ext/a", "core/ext/b"]),
        (("core/ext/(.+)", r"plugins/\1"), ["core", "plugins/a", "plugins/b"]),
        (("core/(ext)/(.+)", r"\2"), ["core", "a", "b"]),
        (("core/ext/(.+)", r"./\1/."), ["core", "a", "b"]),
        (("core/ext/(?P<name>.+)", r"x/../\g<name>"), ["core", "a", "b"]),
        (("core/ext", "elsewhere"), ["core", "core/ext/a", "core/ext/b"]),
        (("ext/.+", "elsewhere"), ["core", "core/ext/a", "core/ext/b"]),
    ],
)
def test_a_rule_moves_the_projects_whose_whole_names_it_matches(
    tmp_path: Path, rule: tuple[str, str] | None, expected: list[str]
) -> None:
    text = "clonemap:\n" + entry(*rule) if rule else None
    projects = ["core", "core/ext/a", "core/ext/b"]
    assert places(projects, tmp_path, text) == dict(zip(projects, expected, strict=True))


def test_a_rule_that_matches_everything_is_applied_once(tmp_path: Path) -> None:
    assert places(["core"], tmp_path, "clonemap:\n" + entry(".*", "all")) == {"core": "all"}


def test_an_empty_list_of_rules_moves_nothing(tmp_path: Path) -> None:
    assert places(["core"], tmp_path, "clonemap: []") == {"core": "core"}


def test_a_project_that_is_named_twice_has_one_place(tmp_path: Path) -> None:
    assert places(["b", "a", "b"], tmp_path) == {"b": "b", "a": "a"}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([("core/ext/.+", "same")], "'core/ext/a' and 'core/ext/b' would both be cloned to same"),
        ([("core/ext/a", "./core")], "'core' and 'core/ext/a' would both be cloned to core"),
        ([("core", "a"), ("co.e", "b")], "several rules for project 'core': 'core', 'co.e'"),
        ([("core", r"\1")], "is wrong: invalid group reference 1"),
        ([("core", "../core")], "'core' cannot be cloned to '../core'"),
        ([("core", "a/../../core")], "cannot be cloned to"),
        ([("core", "/etc")], "'core' cannot be cloned to '/etc'"),
        ([("core", "//etc")], "cannot be cloned to"),
        ([("core", ".git/hooks")], "'core' cannot be cloned to '.git/hooks'"),
        ([("core", "a/.GIT")], "cannot be cloned to"),
        ([("(core", "a")], "entry 1: '(core' is no regular expression"),
    ],
)
def test_what_is_not_clear_is_an_error(tmp_path: Path, rules: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        places(["core", "core/ext/a", "core/ext/b"], tmp_path, "clonemap:\n" + "".join(entry(*rule) for rule in rules))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "clonemap:", "clonemap: {}", "clonemap: [1]", "clonemap: [{name: a}]", "clonemap: [{dest: a}]"),
        *("clonemap: [{name: a, dest: 1}]", "clonemap: [", "clonemap: !!python/object/apply:os.getcwd []", "\0"),
        "[" * 2_000,
    ],
)
def test_a_file_that_is_no_clone_map_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"map\.yaml"):
        places(["core"], tmp_path, text)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_rules(tmp_path / "none")


@pytest.mark.parametrize("name", ["", "/etc", "../a", "a/../b", "a//b", "a/", ".", "-foo", "a\nb", "a\0b", "a\x1b[0m"])
def test_a_name_that_no_project_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match="is not a name"):
        places([name], tmp_path)


@pytest.mark.parametrize("name", [".git", "a/.git", "a/.Git/hooks"])
def test_no_project_is_cloned_into_the_files_of_a_repository(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="no place in the workspace"):
        places([name], tmp_path)
