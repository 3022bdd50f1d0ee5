"""Behaviour 10.7: which jobs apply to which change. Patterns are matched at the start of the text."""

import pytest
from support import gate_layouts, states
from support.player import Player

from zuul_launcher.gate.match import job_applies, jobs_for
from zuul_launcher.model.change import Change, Tick
from zuul_launcher.model.layout import Job, SkipIf

MESSAGE = "/COMMIT_MSG"


def change(*files: str, project: str = "lib/alpha", branch: str = "main") -> Change:
    return states.make_change(project=project, branch=branch, files=files)


def test_a_job_for_some_files_runs_for_the_change_that_touches_one() -> None:
    play = Player(gate_layouts.scenario_layout())
    with_file = play.upload("P", files=(MESSAGE, "test-requires"))
    play.approve(with_file, play.upload("P"))
    play.drain()
    assert play.built("P-tf") == ["1,1"]


def test_a_skipped_job_leaves_the_others_alone() -> None:
    layout = gate_layouts.scenario_layout()
    play = Player(gate_layouts.with_job(layout, "P-t1", skip_if=(SkipIf(branch="main"),)))
    on_main, stable = play.upload("P"), play.upload("P", branch="stable")
    play.approve(on_main, stable)
    play.release("P-m")
    play.release("P-m")
    play.drain()
    assert play.built("P-t1") == ["1,1 2,1"]
    assert len(play.built("P-t2")) == 2
    assert play.landed() == ["1", "2"]


@pytest.mark.parametrize(
    ("patterns", "branch", "applies"),
    [
        (("main",), "main", True),
        (("ma",), "main", True),
        (("ain",), "main", False),
        (("stable", "main"), "main", True),
        (("^(?!stable).*$",), "stable", False),
        ((), "anything", True),
    ],
)
def test_a_branch_filter_is_matched(patterns: tuple[str, ...], branch: str, applies: bool) -> None:
    assert job_applies(Job(name="unit", branches=patterns), change(branch=branch)) is applies


def test_a_branch_filter_of_a_ref_is_matched_against_the_ref() -> None:
    assert job_applies(Job(name="unit", branches=("refs/tags/",)), states.make_ref("refs/tags/1.0"))
    assert not job_applies(Job(name="unit", branches=("main",)), states.make_ref("refs/tags/1.0"))


def test_a_branch_filter_never_fits_a_timer_which_has_neither_branch_nor_ref() -> None:
    tick = Tick(connection="gerrit", project="lib/alpha")
    assert not job_applies(Job(name="unit", branches=(".*",)), tick)
    assert job_applies(Job(name="unit", skip_if=(SkipIf(branch=".*"),)), tick)
    assert job_applies(Job(name="unit"), tick)


@pytest.mark.parametrize(
    ("files", "applies"),
    [(("docs/index.rst",), True), ((MESSAGE, "docs/index.rst"), True), (("src/docs/a",), False), ((), False)],
)
def test_a_file_filter_needs_one_file_that_matches(files: tuple[str, ...], applies: bool) -> None:
    assert job_applies(Job(name="unit", files=("docs/", "none")), change(*files)) is applies


def test_a_job_for_some_files_does_not_run_for_a_ref() -> None:
    assert not job_applies(Job(name="unit", files=(".*",)), states.make_ref())


@pytest.mark.parametrize(
    ("files", "skipped"),
    [
        ((), False),
        ((MESSAGE,), False),
        (("docs/a",), False),
        (("docs/a", "src/b"), False),
        ((MESSAGE, "docs/a", "src/b"), False),
        (("docs/a", "docs/b"), True),
        ((MESSAGE, "docs/a"), True),
        ((MESSAGE, "docs/a", "README"), True),
    ],
)
def test_a_job_is_skipped_if_all_files_match(files: tuple[str, ...], skipped: bool) -> None:
    """A merge commit lists its message at most, and touches files that nobody names: it is never skipped."""
    job = Job(name="unit", skip_if=(SkipIf(all_files=("docs/", "README$")),))
    assert job_applies(job, change(*files)) is not skipped


def test_a_ref_has_no_files_to_skip_for() -> None:
    assert job_applies(Job(name="unit", skip_if=(SkipIf(all_files=(".*",)),)), states.make_ref())


@pytest.mark.parametrize(
    ("predicate", "skipped"),
    [
        (SkipIf(), True),
        (SkipIf(project="lib/"), True),
        (SkipIf(project="alpha"), False),
        (SkipIf(branch="main"), True),
        (SkipIf(branch="stable"), False),
        (SkipIf(project="lib/", branch="main"), True),
        (SkipIf(project="lib/", branch="stable"), False),
        (SkipIf(project="app/", branch="main"), False),
        (SkipIf(project="lib/", all_files=("docs/",)), True),
        (SkipIf(project="lib/", all_files=("src/",)), False),
        (SkipIf(branch="stable", all_files=("docs/",)), False),
    ],
)
def test_a_predicate_holds_if_all_that_it_says_holds(predicate: SkipIf, skipped: bool) -> None:
    assert job_applies(Job(name="unit", skip_if=(predicate,)), change(MESSAGE, "docs/a")) is not skipped


def test_a_job_is_skipped_if_any_predicate_holds() -> None:
    job = Job(name="unit", skip_if=(SkipIf(branch="stable"), SkipIf(project="lib/alpha")))
    assert not job_applies(job, change())
    assert job_applies(job, change(project="app"))


def test_what_stands_below_a_job_that_does_not_apply_does_not_apply() -> None:
    """In v2 such an item never ends."""
    layout = gate_layouts.with_job(gate_layouts.scenario_layout(), "P-m", branches=("stable",))
    assert jobs_for(layout, "gate", change(MESSAGE, "a", project="P")) == ()
    assert jobs_for(layout, "gate", change(MESSAGE, "a", project="P", branch="stable")) == ("P-m", "P-t1", "P-t2")


def test_jobs_come_in_the_order_of_the_tree_each_once() -> None:
    layout = gate_layouts.with_tree(
        gate_layouts.scenario_layout(), "Q", *states.tree(("one", "both", "deep"), ("two", "both"), "one")
    )
    assert jobs_for(layout, "gate", change(project="Q")) == ("one", "both", "deep", "two")


def test_a_project_or_pipeline_that_the_layout_does_not_know_has_no_jobs() -> None:
    layout = gate_layouts.scenario_layout()
    assert jobs_for(layout, "gate", change(project="unknown")) == ()
    assert jobs_for(layout, "post", change(project="Q")) == ()
