"""Projects of a dependent pipeline that have a job in common share a change queue."""

from collections.abc import Callable

import pytest

from zuul_launcher.layout.load import Loaded


@pytest.fixture
def queues(loaded: Callable[[str], Loaded]) -> Callable[..., dict[str, str]]:
    """The queues of projects, given as NAME=JOBS, with entries of `jobs:`."""

    def compute(jobs: str = "", **projects: str) -> dict[str, str]:
        text = "pipelines:\n  - {name: gate, manager: DependentPipelineManager, trigger: {}}\n"
        text += f"jobs: [{jobs}]\nprojects:\n"
        text += "".join(f"  - {{name: {name}, gate: [{tree}]}}\n" for name, tree in projects.items())
        return loaded(text).layout.pipelines["gate"].shared_queues

    return compute


def test_sharing_is_transitive_and_reaches_down_the_trees(queues: Callable[..., dict[str, str]]) -> None:
    found = queues(d="{x: [deep]}", c="j2, {y: [deep]}", a="j1", b="j1, j2", e="j3")
    assert found == {**dict.fromkeys("abcd", "a, b, c, d"), "e": "e"}
    assert list(found) == sorted(found)


def test_noop_is_no_job_in_common(queues: Callable[..., dict[str, str]]) -> None:
    assert queues(a="noop", b="noop, j", c="j") == {"a": "a", "b": "b, c", "c": "b, c"}


def test_a_project_without_jobs_has_no_queue(queues: Callable[..., dict[str, str]]) -> None:
    assert queues(a="", b="j") == {"b": "b"}


def test_the_queue_has_the_name_that_one_of_its_jobs_gives(queues: Callable[..., dict[str, str]]) -> None:
    assert queues("{name: j2, queue-name: integrated}", a="j1", b="j1, j2") == dict.fromkeys("ab", "integrated")


def test_regex_entries_name_queues_too(queues: Callable[..., dict[str, str]]) -> None:
    assert queues("{name: ^j, queue-name: integrated}", a="j1", b="j1, k") == dict.fromkeys("ab", "integrated")


def test_projects_without_a_job_in_common_keep_two_queues_of_one_name(queues: Callable[..., dict[str, str]]) -> None:
    found = queues("{name: ^j, queue-name: integrated}", a="j1", b="j2", c="j2")
    assert found == {"a": "integrated", "b": "integrated (b)", "c": "integrated (b)"}


def test_independent_pipelines_have_no_shared_queues(loaded: Callable[[str], Loaded]) -> None:
    text = (
        "pipelines:\n  - {name: p, manager: IndependentPipelineManager, trigger: {}}\nprojects: [{name: a, p: [j]}]\n"
    )
    assert loaded(text).layout.pipelines["p"].shared_queues == {}
