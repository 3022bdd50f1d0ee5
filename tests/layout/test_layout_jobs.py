"""What a job is given by the entries that match it, and in which order."""

from collections.abc import Callable

import pytest

from zuul_launcher.layout.load import Loaded
from zuul_launcher.model.layout import Job, SkipIf

Load = Callable[[str], Loaded]


@pytest.fixture
def job(loaded: Load) -> Callable[[str, str], Job]:
    """The definition of one job, from the entries of `jobs:`."""

    def load_job(name: str, entries: str) -> Job:
        return loaded(
            "pipelines:\n  - {name: check, manager: IndependentPipelineManager, trigger: {}}\n"
            f"jobs:\n{entries}projects:\n  - {{name: a, check: [{name}]}}\n"
        ).layout.jobs[name]

    return load_job


def test_a_job_that_no_entry_matches_has_defaults(job: Callable[[str, str], Job]) -> None:
    assert job("unit", "  - name: ^other$\n    voting: false\n") == Job(name="unit")


def test_all_keys_of_an_entry_are_read(job: Callable[[str, str], Job]) -> None:
    text = """\
  - name: unit
    queue-name: integrated
    success-message: Good
    failure-message: Bad
    success-pattern: http://good/{build.number}
    failure-pattern: http://bad
    hold-following-changes: true
    voting: false
    attempts: 5
    mutex: one-at-a-time
    tags: [b, a]
    branch: ^master$
    files: [^src/, ^tests/]
    skip-if: {project: ^x, branch: ^y, all-files-match-any: [^doc/]}
"""
    assert job("unit", text) == Job(
        name="unit",
        queue_name="integrated",
        success_message="Good",
        failure_message="Bad",
        success_pattern="http://good/{build.number}",
        failure_pattern="http://bad",
        hold_following_changes=True,
        voting=False,
        attempts=5,
        mutex="one-at-a-time",
        tags=("a", "b"),
        branches=("^master$",),
        files=("^src/", "^tests/"),
        skip_if=(SkipIf(project="^x", branch="^y", all_files=("^doc/",)),),
    )


def test_regex_entries_apply_from_the_top_and_the_later_one_overwrites(job: Callable[[str, str], Job]) -> None:
    text = """\
  - {name: ^.*$, voting: false, branch: ^master$, success-message: first, tags: all}
  - {name: ^un, voting: true, success-message: second, tags: unit}
"""
    assert job("unit", text) == Job(
        name="unit", voting=True, branches=("^master$",), success_message="second", tags=("all", "unit")
    )


def test_a_literal_entry_gets_only_the_regex_entries_above_it(job: Callable[[str, str], Job]) -> None:
    text = """\
  - {name: ^.*$, mutex: above, attempts: 7, queue-name: everything}
  - {name: unit, voting: false}
  - {name: ^unit, mutex: below, failure-message: below}
"""
    assert job("unit", text) == Job(name="unit", mutex="above", voting=False, attempts=7, queue_name="everything")
    below = job("unit-2", text)
    assert (below.mutex, below.failure_message) == ("below", "below")


def test_a_literal_entry_overrides_attempts_only_if_it_gives_them(job: Callable[[str, str], Job]) -> None:
    assert job("unit", "  - {name: ^.*$, attempts: 7}\n  - {name: unit, attempts: 1}\n").attempts == 1


def test_holding_following_changes_can_not_be_undone(job: Callable[[str, str], Job]) -> None:
    text = "  - {name: ^.*$, hold-following-changes: true}\n  - {name: unit, hold-following-changes: false}\n"
    assert job("unit", text).hold_following_changes is True


def test_a_regex_is_matched_at_the_start_and_a_literal_name_is_no_regex(job: Callable[[str, str], Job]) -> None:
    text = "  - {name: ^unit, mutex: m}\n  - {name: uni., voting: false}\n"
    assert job("unit-more", text) == Job(name="unit-more", mutex="m")
    assert job("a-unit", text) == Job(name="a-unit")


def test_a_bare_flag_inside_a_pattern_moves_to_its_front(job: Callable[[str, str], Job]) -> None:
    text = "  - {name: '^(?i)UNIT', mutex: m, branch: 'master(?i)'}\n"
    assert job("unit", text) == Job(name="unit", mutex="m", branches=("(?i)master",))


def test_only_jobs_that_projects_name_are_in_the_layout(loaded: Load) -> None:
    layout = loaded(
        "pipelines:\n  - {name: check, manager: IndependentPipelineManager, trigger: {}}\n"
        "jobs:\n  - name: unused\nprojects:\n  - {name: a, check: [{parent: [child]}, noop]}\n"
    ).layout
    assert list(layout.jobs) == ["parent", "child", "noop"]
