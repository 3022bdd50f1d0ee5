"""Behaviour 10.1: changes that pass, changes that fail, and what that means for those behind."""

import pytest
from support import gate_layouts
from support.player import Player

from zuul_launcher.model.layout import JobNode
from zuul_launcher.sim.world import PlayedChange


@pytest.fixture
def play() -> Player:
    return Player(gate_layouts.scenario_layout())


def three(play: Player, project: str = "P") -> list[PlayedChange]:
    return [play.upload(project) for _ in range(3)]


def with_all_merge_jobs_done(play: Player, *changes: PlayedChange) -> None:
    play.approve(*changes)
    for _ in changes:
        play.release(".*-m")


def test_a_change_that_passes_lands_and_is_told_of_twice(play: Player) -> None:
    change = play.upload("P")

    play.approve(change)
    play.release("P-m")
    assert play.running() == ["P-t1 1,1", "P-t2 1,1"]
    play.drain()

    assert play.landed() == ["1"]
    assert play.told_of(change) == ["start", "success"]
    assert {build.payload.parameters["ZUUL_VOTING"] for build in play.world.builds.values()} == {"1"}
    play.check_the_end()


def test_an_event_that_two_pipelines_want_is_reported_by_each_with_its_own_urls() -> None:
    layout = gate_layouts.scenario_layout()
    both = layout.pipelines["check"].triggers + layout.pipelines["gate"].triggers
    layout = gate_layouts.with_pipeline(layout, "check", triggers=both)
    layout = gate_layouts.with_job(layout, "P-m", success_pattern="http://logs/{change.number}/{pipeline.name}/")
    play = Player(layout)
    change = play.upload("P")

    play.approve(change)
    play.drain()

    pipelines = [build.payload.parameters["ZUUL_PIPELINE"] for build in play.world.builds.values()]
    assert sorted(pipelines) == ["check"] * 3 + ["gate"] * 3
    assert sorted(play.told_of(change)) == ["start", "success", "success"]
    told = [said.message.splitlines()[2] for said in play.world.comments if said.verdict == "success"]
    assert sorted(told) == ["- http://logs/1/check/ : SUCCESS", "- http://logs/1/gate/ : SUCCESS"]


def test_changes_are_built_in_parallel_each_on_top_of_those_ahead(play: Player) -> None:
    changes = three(play)

    play.approve(*changes)
    assert play.running() == ["P-m 1,1"]
    play.release(".*-m")
    assert play.running() == ["P-t1 1,1", "P-t2 1,1", "P-m 1,1 2,1"]
    play.release(".*-m")
    play.release(".*-m")
    assert sorted(play.running()) == [
        "P-t1 1,1", "P-t1 1,1 2,1", "P-t1 1,1 2,1 3,1", "P-t2 1,1", "P-t2 1,1 2,1", "P-t2 1,1 2,1 3,1",
    ]  # fmt: skip
    play.drain()

    assert play.landed() == ["1", "2", "3"]
    assert play.count() == 9


def test_a_change_behind_a_failing_one_is_tested_again_without_it(play: Player) -> None:
    first, second = play.upload("P"), play.upload("P")
    play.world.broken.add(("P-t1", first.number))

    play.approve(first, second)
    play.drain()

    assert play.landed() == ["2"]
    assert play.built("P-t1")[-1] == "2,1"
    assert play.told_of(first) == ["start", "failure"]
    assert play.told_of(second) == ["start", "success"]


def test_queues_work_side_by_side(play: Player) -> None:
    alone, one, two = play.upload("P"), play.upload("P1"), play.upload("P2")

    play.approve(alone, one, two)
    assert play.running() == ["P-m 1,1", "P1-m 2,1"]
    play.release(".*-m")
    play.release(".*-m")
    assert len(play.running()) == 8
    play.drain()

    assert play.count() == 11
    assert play.landed() == ["1", "2", "3"]


def test_a_failure_at_the_head_restarts_all_behind_at_once(play: Player) -> None:
    first, second, third = three(play)
    play.world.broken.add(("P-t1", first.number))
    with_all_merge_jobs_done(play, first, second, third)

    play.release("P-t1", on="1,1")

    assert play.count(cancelled=True) == 4
    assert play.running() == ["P-t2 1,1", "P-m 2,1"]
    play.drain()
    assert play.count() == 15
    assert play.landed() == ["2", "3"]


def test_builds_of_the_restarted_are_withdrawn_whether_they_run_or_wait(play: Player) -> None:
    """v2 counts 11 here: the four that were withdrawn from the queue of Gearman before they ran are not seen."""
    first, second, third = three(play)
    play.world.broken.add(("P-t1", first.number))
    with_all_merge_jobs_done(play, first, second, third)

    play.release("P-t1", on="1,1")
    play.drain()

    assert play.count(cancelled=False) == 11
    assert all(build.result in ("SUCCESS", "FAILURE") for build in play.world.builds.values() if not build.cancelled)


def test_a_failure_in_the_middle_leaves_those_ahead_alone(play: Player) -> None:
    first, second, third = three(play)
    play.world.broken.add(("P-t1", second.number))
    with_all_merge_jobs_done(play, first, second, third)

    play.release("P-t1", on="1,1 2,1")

    assert play.count(cancelled=True) == 2
    assert play.running() == ["P-t1 1,1", "P-t2 1,1", "P-t2 1,1 2,1", "P-m 1,1 3,1"]
    play.drain()
    assert play.count() == 12
    assert play.landed() == ["1", "3"]


def test_what_failed_behind_a_failure_gets_a_second_chance_without_it(play: Player) -> None:
    first, second, third = three(play)
    play.world.broken |= {("P-t1", first.number), ("P-t1", second.number)}
    with_all_merge_jobs_done(play, first, second, third)

    play.release("P-t1", on="1,1 2,1")
    play.release("P-m")
    assert play.running()[-2:] == ["P-t1 1,1 3,1", "P-t2 1,1 3,1"]
    play.release("P-t1", on="1,1")
    play.release("P-t2", on="1,1")
    play.release("P-m")
    play.release("P-m")
    assert play.running() == ["P-t1 2,1", "P-t2 2,1", "P-t1 2,1 3,1", "P-t2 2,1 3,1"]
    play.drain()

    assert play.landed() == ["3"]
    assert play.count() == 21


def test_several_failures_of_one_change_take_it_out_once(play: Player) -> None:
    first, second, third = three(play, "P1")
    play.world.broken |= {("P1-t1", first.number), ("P1-t2", first.number)}
    with_all_merge_jobs_done(play, first, second, third)

    play.release("P1-t[12]", on="1,1")

    assert play.count(cancelled=True) == 6
    play.drain()
    assert play.count() == 20
    assert play.told_of(first) == ["start", "failure"]
    assert play.landed() == ["2", "3"]


def test_all_behind_a_change_that_gerrit_refuses_are_tested_again(play: Player) -> None:
    changes = [*three(play, "P1"), *three(play, "P2")]
    play.world.unwanted.add("1")
    with_all_merge_jobs_done(play, *changes)

    play.release(".*", on="1,1")

    assert play.count(cancelled=True) == 15
    play.drain()
    assert play.count() == 44
    assert play.landed() == ["2", "3", "4", "5", "6"]
    assert "it did not merge" in play.closed()


def test_a_failing_change_is_kept_until_all_its_jobs_are_done(play: Player) -> None:
    first, second = play.upload("P"), play.upload("P")
    play.approve(first, second)
    play.release("P-m")
    play.release("P-t1", on="1,1", result="FAILURE")

    assert play.told_of(first) == ["start"]
    assert play.item_of(first).build_set.failing_reasons == ("at least one job failed",)
    play.release("P-t2", on="1,1")
    assert play.told_of(first) == ["start", "failure"]


def test_only_the_first_of_a_queue_is_told_how_it_ended(play: Player) -> None:
    first, second = play.upload("Q"), play.upload("Q")
    play.approve(first, second)

    play.release("Q-only", on="1,1 2,1")
    assert play.told_of(second) == ["start"]
    play.release("Q-only", on="1,1")
    assert play.landed() == ["1", "2"]


def test_nobody_else_lands_while_one_is_submitted(play: Player) -> None:
    first, second = play.upload("Q"), play.upload("Q")
    play.approve(first, second)
    for uuid in play.world.running()[::-1]:
        play.finish(uuid)

    assert [payload.subject.id for payload in play.reports] == ["1,1"]
    play.report()
    assert [payload.subject.id for payload in play.reports] == ["2,1"]


def test_a_failing_job_without_a_vote_does_not_keep_a_change_from_landing() -> None:
    layout = gate_layouts.with_job(gate_layouts.scenario_layout(), "P-t2", voting=False)
    play = Player(layout)
    change = play.upload("P")
    play.world.broken.add(("P-t2", change.number))

    play.approve(change)
    play.drain()

    assert play.landed() == ["1"]
    assert "P-t2" in play.world.comments[-1].message
    assert "(non-voting)" in play.world.comments[-1].message


def test_a_checked_change_is_told_once_and_does_not_land(play: Player) -> None:
    good, bad = play.upload("P"), play.upload("P")
    play.world.broken.add(("P-t1", bad.number))

    play.propose(good, bad)
    play.drain()

    assert play.told_of(good) == ["success"]
    assert play.told_of(bad) == ["failure"]
    assert play.landed() == []
    assert not any(payload.submit for payload in play.world.comments)


def test_a_checked_change_is_told_as_soon_as_it_is_done(play: Player) -> None:
    first, second = play.upload("Q"), play.upload("Q")
    play.propose(first, second)

    play.release("Q-only", on="2,1")

    assert play.told_of(second) == ["success"]
    assert play.told_of(first) == []


def test_two_changes_with_a_single_job_land(play: Player) -> None:
    play.approve(play.upload("Q"), play.upload("Q"))
    play.drain()
    assert play.landed() == ["1", "2"]


def test_a_change_whose_only_job_is_noop_lands_without_a_build() -> None:
    play = Player(gate_layouts.with_tree(gate_layouts.scenario_layout(), "Q", JobNode("noop")))
    change = play.upload("Q")

    play.approve(change)

    assert play.count() == 0
    assert play.landed() == ["1"]
    assert play.told_of(change) == ["start", "success"]


def test_a_change_that_no_job_is_for_does_not_enter() -> None:
    layout = gate_layouts.with_job(gate_layouts.scenario_layout(), "Q-only", files=("docs/.*",))
    play = Player(layout)
    change = play.upload("Q")

    play.approve(change)

    assert play.queued() == []
    assert play.told_of(change) == []
    assert play.ignored() == ["none of its jobs apply"]
    assert play.state.pipelines["gate"].queues == []
