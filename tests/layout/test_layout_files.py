"""A layout may be split into files; what is wrong is told at its place in the right one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from zuul_launcher.layout.load import Loaded, content_hash, load
from zuul_launcher.yamlfile.problems import FileErrors

HEAD = """\
includes:
  - yaml-file: more/projects.yaml
  - python-file: functions.py
  - yaml-file: jobs.yaml
pipelines:
  - {name: check, manager: IndependentPipelineManager, trigger: {}}
jobs:
  - {name: ^.*$, attempts: 5}
projects:
  - {name: alpha, check: [unit]}
"""
PROJECTS = "projects:\n  - {name: beta, check: [unit, docs]}\n  - {name: gamma, template: [{name: plain}]}\n"
JOBS = "jobs:\n  - {name: unit, voting: false}\nproject-templates:\n  - {name: plain, check: [docs]}\n"
Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files beside a layout; those of the example that are not given are as above."""

    def write_files(files: dict[str, str]) -> Path:
        (tmp_path / "more").mkdir()
        example = {"layout.yaml": HEAD, "more/projects.yaml": PROJECTS, "jobs.yaml": JOBS, "functions.py": ""}
        for name, text in {**example, **files}.items():
            (tmp_path / name).write_text(text)
        return tmp_path / "layout.yaml"

    return write_files


def problems(path: Path) -> list[str]:
    """Paths are relative to the layout's folder, also in hints."""
    with pytest.raises(FileErrors) as caught:
        load(path, {})
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def loaded(path: Path) -> Loaded:
    return load(path, {"gerrit": "gerrit"})


def only(path: Path, *parts: str) -> list[str]:
    """Problems but for those of the pipeline, which has no Gerrit here."""
    return [line for line in problems(path) if "source" not in line]


def test_the_lists_of_all_files_are_joined_in_order(write: Write) -> None:
    path = write({})
    layout = loaded(path).layout
    assert list(layout.projects) == ["alpha", "beta", "gamma"]
    assert (layout.jobs["unit"].attempts, layout.jobs["unit"].voting) == (5, False)  # the regex stands above it
    assert [node.job for node in layout.projects["gamma"].pipelines["check"]] == ["docs"]
    assert layout.includes == (str(path.parent / "functions.py"),)


def test_it_is_the_same_layout_as_in_one_file(write: Write, tmp_path: Path) -> None:
    path = write({})
    one = tmp_path / "one.yaml"
    own = "".join(HEAD.splitlines(keepends=True)[4:])
    rest = PROJECTS.removeprefix("projects:\n")
    jobs, templates = JOBS.split("project-templates:\n")
    own = own.replace("projects:\n", jobs.removeprefix("jobs:\n") + "projects:\n")
    one.write_text("includes:\n  - python-file: functions.py\n" + own + rest + "project-templates:\n" + templates)
    assert loaded(path).layout == loaded(one).layout


def test_another_content_of_a_file_is_another_layout(write: Write) -> None:
    path = write({})
    before = content_hash(loaded(path).layout)
    (path.parent / "jobs.yaml").write_text(JOBS.replace("false", "true"))
    assert content_hash(loaded(path).layout) != before


def test_files_may_include_files_from_the_folder_of_the_layout(write: Write) -> None:
    path = write({"more/projects.yaml": "includes:\n  - yaml-file: more/deep.yaml\n", "more/deep.yaml": PROJECTS})
    assert list(loaded(path).layout.projects) == ["alpha", "beta", "gamma"]


def test_a_name_that_is_there_twice_is_told_with_both_places(write: Write) -> None:
    path = write({"more/projects.yaml": PROJECTS.replace("beta", "alpha"), "jobs.yaml": JOBS + "  - name: plain\n"})
    assert only(path) == [
        "jobs.yaml:5:11: Duplicate name: plain (first in line 4)",
        "more/projects.yaml:2:12: Duplicate name: alpha (first in layout.yaml:10:12)",
    ]


def test_mistakes_are_told_with_the_file_that_they_are_in(write: Write) -> None:
    path = write(
        {
            "layout.yaml": HEAD.replace("attempts: 5", "atempts: 5"),  # codespell:ignore atempts
            "more/projects.yaml": "project: []\nprojects:\n  - {name: beta, check: unit}\n",
            "jobs.yaml": "jobs: {}\nproject-templates:\n  - {name: plain, check: [unit]}\n  - x: [\n",
        }
    )
    assert only(path) == [
        "layout.yaml:8:18: extra keys not allowed: 'atempts' (did you mean 'attempts'?)",
        "jobs.yaml:5:1: while parsing a flow node: did not find expected node content",
        "more/projects.yaml:1:1: extra keys not allowed: 'project' (did you mean 'projects'?)",
        "more/projects.yaml:3:25: expected a list (jobs are written as a list, with `- ` in front of each)",
    ]


def test_a_section_that_is_no_list_can_not_be_joined(write: Write) -> None:
    assert only(write({"jobs.yaml": "jobs: {}\n" + JOBS.partition("\n")[2].partition("\n")[2]})) == [
        "jobs.yaml:1:7: expected a list"
    ]


@pytest.mark.parametrize("content", ["", "- a list\n"])
def test_a_file_that_is_no_dictionary_is_a_mistake(write: Write, content: str) -> None:
    path = write({"more/projects.yaml": content})
    text = "Malformed layout configuration: top-level type should be a dictionary"
    assert only(path) == [f"more/projects.yaml:1:1: {text}"]


def test_a_file_that_is_not_there_is_a_mistake_of_the_one_that_includes_it(write: Write) -> None:
    path = write({"more/projects.yaml": "includes: [{yaml-file: none.yaml}]\n"})
    text = "yaml-file 'none.yaml' can not be read: No such file or directory"
    assert only(path) == [f"more/projects.yaml:1:24: {text}"]


@pytest.mark.parametrize(
    ("again", "hint"), [("layout.yaml", "it is the layout itself"), ("more/../jobs.yaml", "first in layout.yaml:4:16")]
)
def test_no_file_is_read_twice_so_there_are_no_cycles(write: Write, again: str, hint: str) -> None:
    path = write({"jobs.yaml": f"includes: [{{yaml-file: {again}}}]\n" + JOBS})
    assert only(path) == [f"jobs.yaml:1:24: yaml-file '{again}' is read a second time ({hint})"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{yaml-file: 5}", "17: expected str (put it in quotes)"),
        ("{yaml-file: jobs.yaml, python-file: x}", "28: extra keys not allowed: 'python-file'"),
    ],
)
def test_an_entry_of_includes_names_one_file(write: Write, entry: str, message: str) -> None:
    (found,) = [
        one for one in only(write({"layout.yaml": HEAD.replace("yaml-file: jobs.yaml", entry)})) if ":4:" in one
    ]
    assert found.startswith(f"layout.yaml:4:{message}")
