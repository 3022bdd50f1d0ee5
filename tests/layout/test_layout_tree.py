"""Text is read as YAML's plain data only; hostile or broken text is a mistake with its place, soon told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from zuul_launcher.layout.files import MALFORMED
from zuul_launcher.layout.load import Loaded, load
from zuul_launcher.yamlfile import tree
from zuul_launcher.yamlfile.problems import FileErrors, Problems
from zuul_launcher.yamlfile.tree import Mapping, Node, Scalar, Sequence

Refuse = Callable[[str | bytes], list[str]]


def plain(node: Node | None) -> object:
    """The values without their places."""
    if isinstance(node, Mapping):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    return node.value


def parsed(text: str) -> tuple[object, list[str]]:
    problems = Problems("f", MALFORMED)
    node = tree.parse(text, problems)
    return plain(node), [f"{one.line}:{one.column}: {one.message}" for one in problems.errors]


def test_plain_data_is_read_as_any_yaml_loader_reads_it() -> None:
    text = "a: [1, +2, 0x10, 1.5, yes, Off, ~, null, '1', text, 'a: b', =]\nb: |\n  two\n  lines\nc: !!str 12\n"
    values = [1, 2, 16, 1.5, True, False, None, None, "1", "text", "a: b", "="]
    assert parsed(text) == ({"a": values, "b": "two\nlines\n", "c": "12"}, [])


def test_merge_keys_are_overridden_by_own_keys_and_by_earlier_sources() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {c: 3, <<: [*x, *y]}\nw: {!!merge : *x, !!merge : *y, d: 4}\n"
    value, problems = parsed(text)
    assert isinstance(value, dict)
    assert value["z"] == {"b": 1, "c": 3, "a": 1}
    assert value["w"] == {"a": 1, "b": 2, "c": 2, "d": 4}
    assert problems == []


def test_duplicate_keys_are_found_in_what_is_written_not_in_what_is_merged() -> None:
    _, problems = parsed("x: &x {a: 1, a: 2}\ny: {<<: *x, a: 3}\nz:\n  b: 1\n  c: 2\n  b: 3\n")
    assert problems == ["1:14: duplicate key 'a'", "6:3: duplicate key 'b'"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: Malformed layout configuration: top-level type should be a dictionary"),
        ("- a\n", "1:1: Malformed layout configuration: top-level type should be a dictionary"),
        ("a: 1\n\tb: 2\n", "2:1: while scanning a plain scalar: found a tab character that violates indentation"),
        ("pipelines:\n\t- a\n", "2:1: while scanning for the next token: found character that cannot start any token"),
        ("pipelines: []\nprojects: [\x01]\n", "2:12: character 1: control characters are not allowed"),
        (b"pipelines: []\nprojects: [\xff]\n", "2:12: this is not text in UTF-8"),
        ("a: [" * 100_000, "1:101: nested more than 50 levels deep"),
        ("\n".join(" " * depth + "a:" for depth in range(1000)), "51:51: nested more than 50 levels deep"),
        (b"#" * 20_000_001, "1:1: the file is larger than 20,000,000 bytes"),
        ("a: b: c\n", "1:5: mapping values are not allowed in this context"),
    ],
)
def test_text_that_is_no_layout_is_one_mistake_with_its_place(
    text: str | bytes, expected: str, refused: Refuse
) -> None:
    problems = refused(text)
    assert len(problems) == 1
    assert problems[0].split(" (")[0] == expected


def test_aliases_that_stand_for_very_much_are_a_mistake(refused: Refuse) -> None:
    lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 60)]
    assert any("aliases make this more than 500,000 values" in problem for problem in refused("\n".join(lines)))


def test_aliases_that_nest_deeply_are_a_mistake(refused: Refuse) -> None:
    text = "x0: &x0 [a]\n" + "".join(f"x{n}: &x{n} [[*x{n - 1}]]\n" for n in range(1, 1000))
    assert "26:12: aliases nest this more than 50 levels deep" in refused(text)


def test_merges_that_bring_in_very_much_are_a_mistake(refused: Refuse) -> None:
    text = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}\n"
    text += "".join(f"b{n}: {{<<: *a}}\n" for n in range(300))
    assert refused(text) == ["252:8: merge keys bring in more than 500,000 values"]


def test_values_that_no_program_can_use_are_mistakes_and_the_rest_is_read() -> None:
    value, problems = parsed(
        "a: [.nan, -.inf, 99999999999999999999, *b, &c [*c], !!python/object:x {y: 1}, !!int z, 1]\n"
    )
    assert [problem.split(": ", 1)[1] for problem in problems] == [
        "'.nan' is no float that can be used",
        "'-.inf' is no float that can be used",
        "'99999999999999999999' is no int that can be used",
        "alias *b has no anchor &b above",
        "alias *c stands inside its own anchor",
        "tag !!python/object:x is not allowed",
        "'z' is no int that can be used",
    ]
    assert value == {"a": [None, None, None, None, [None], {"y": 1}, None, 1]}


def test_keys_are_texts_and_merged_are_mappings() -> None:
    _, problems = parsed("a: {1: x, [k]: y, true: z}\nb: {<<: 3}\n")
    assert problems == [
        "1:5: expected str as a key",
        "1:11: expected str as a key",
        "1:19: expected str as a key",
        "2:9: expected a dictionary, or a list of them, to merge",
    ]


def test_a_second_document_is_a_mistake(refused: Refuse) -> None:
    problems = refused("pipelines: []\nprojects: []\n---\na: 1\n")
    assert problems == ["3:1: a second document begins here (a file is one document)"]


def test_a_mistake_in_what_many_merge_is_told_once_where_it_stands(refused: Refuse) -> None:
    text = "pipelines:\n  - &p {name: a, manager: IndependentPipelineManager, trigger: {}, window: -1}\n"
    text += "".join(f"  - {{<<: *p, name: b{number}}}\n" for number in range(5))
    assert refused(text + "projects: []\n") == ["2:76: value must be at least 0"]


def test_names_with_control_characters_are_shown_escaped(refused: Refuse) -> None:
    name = '"a\\nroot: INFO \\e[31m"'
    problems = refused(f"pipelines: []\nprojects:\n  - name: {name}\n  - name: {name}\n")
    assert problems == ["4:11: Duplicate name: a\\nroot: INFO \\x1b[31m (first in line 3)"]


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(FileErrors, match=r"layout\.yaml:1:1: the file can not be read: No such file"):
        load(tmp_path / "layout.yaml", {})


def test_text_of_any_language_is_taken(loaded: Callable[[str], Loaded]) -> None:
    text = "\ufeffpipelines:\n  - name: prüfen\n    description: 検査\n    manager: IndependentPipelineManager\n"
    layout = loaded(text + "    trigger: {}\nprojects: []\n").layout
    assert layout.pipelines["prüfen"].description == "検査"
