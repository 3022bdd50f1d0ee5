"""Behaviour 10.6: launching, retrying and losing builds, mutexes, and what comes too late."""

import pytest
from support import gate_layouts
from support.player import Player

from zuul_launcher.model.events import BuildFinished, BuildLost, BuildProgress, WorkerData
from zuul_launcher.model.layout import Job, JobNode
from zuul_launcher.model.queue import Build
from zuul_launcher.sim.world import PlayedChange

RUN = ("Q-only",)


@pytest.fixture
def play() -> Player:
    return Player(gate_layouts.scenario_layout())


def build_of(play: Player, change: PlayedChange, job: str = "Q-only") -> Build:
    return play.item_of(change).build_set.builds[job]


def approved(play: Player, project: str = "Q") -> PlayedChange:
    change = play.upload(project)
    play.approve(change)
    return change


def lose(play: Player, change: PlayedChange) -> None:
    build = build_of(play, change)
    play.world.finish(build.uuid, None, play.tick())
    item = play.item_of(change)
    play.send(BuildLost(at=play.tick(), item=item.id, attempt=item.attempt, build=build.uuid, reason="gone"))


def test_a_build_without_a_result_is_run_again(play: Player) -> None:
    change = approved(play)
    first = build_of(play, change).uuid

    play.release("Q-only", result=None)
    assert build_of(play, change).uuid != first
    play.drain()

    assert play.landed() == ["1"]
    assert play.count() == 2


def test_a_job_is_run_as_often_as_it_may_be_and_then_fails() -> None:
    play = Player(gate_layouts.with_job(gate_layouts.scenario_layout(), "Q-only", attempts=4))
    change = approved(play)

    for _ in range(4):
        assert play.told_of(change) == ["start"]
        play.release("Q-only", result=None)

    assert play.count() == 4
    assert play.told_of(change) == ["start", "failure"]
    assert "RETRY_LIMIT" in play.world.comments[-1].message


def test_a_lost_build_does_not_count_as_a_try(play: Player) -> None:
    change = approved(play)
    for _ in range(5):
        lose(play, change)
    for _ in range(2):
        play.release("Q-only", result=None)
    play.drain()

    assert play.count() == 8
    assert play.landed() == ["1"]


def test_each_attempt_of_a_change_has_all_its_tries(play: Player) -> None:
    first, second = approved(play), approved(play)
    for _ in range(2):
        play.release("Q-only", on="1,1 2,1", result=None)
    play.abandon(first)
    for _ in range(2):
        play.release("Q-only", on="2,1", result=None)

    assert play.told_of(second) == ["start"]
    play.drain()
    assert play.landed() == ["2"]


def test_any_result_but_success_fails_the_change(play: Player) -> None:
    for result in ("UNSTABLE", "ABORTED", "NOT_REGISTERED", "success"):
        change = approved(play)
        play.release("Q-only", result=result)
        assert play.told_of(change) == ["start", "failure"]


def test_a_late_or_repeated_result_changes_nothing(play: Player) -> None:
    first, second = approved(play), approved(play)
    item = play.item_of(second)
    late = BuildFinished(at=play.tick(), item=item.id, attempt=1, build=build_of(play, second).uuid, result="FAILURE")
    play.abandon(first)

    play.send(late)
    assert build_of(play, second).result is None
    play.drain()
    play.send(late)
    assert play.landed() == ["2"]


def test_a_build_that_has_ended_does_not_end_otherwise(play: Player) -> None:
    change = approved(play, "P")
    play.release("P-m")
    play.release("P-t1")
    item, build = play.item_of(change), build_of(play, change, "P-t1")

    play.send(BuildFinished(at=play.tick(), item=item.id, attempt=1, build=build.uuid, result="FAILURE"))
    lost = BuildLost(at=play.tick(), item=item.id, attempt=1, build=build.uuid, reason="gone")
    play.send(lost)

    assert build_of(play, change, "P-t1").result == "SUCCESS"
    assert play.running() == ["P-t2 1,1"]
    play.drain()
    assert play.landed() == ["1"]


def test_what_a_worker_says_is_kept_and_the_last_word_counts(play: Player) -> None:
    change = approved(play)
    item, uuid = play.item_of(change), build_of(play, change).uuid
    for data in (
        WorkerData(number=7, manager="alpha", url="http://logs/7"),
        WorkerData(node_name="node-1", node_labels=("large",)),
        WorkerData(number=0, manager="beta", url="http://logs/0"),  # gearmand gave it to another worker
        WorkerData(),
    ):
        play.send(BuildProgress(at=play.tick(), item=item.id, attempt=1, build=uuid, data=data, estimate=play.at))

    build = build_of(play, change)
    assert (build.number, build.manager, build.url) == (0, "beta", "http://logs/0")
    assert (build.node_name, build.node_labels) == ("node-1", ("large",))
    assert build.started_at == build.estimate
    assert build.started_at is not None
    assert build.started_at < play.at


def test_a_build_of_a_job_that_never_ran_is_estimated_as_nought_once_it_starts(play: Player) -> None:
    change = approved(play)
    item, build = play.item_of(change), build_of(play, change)
    assert build.estimate is None
    play.send(BuildProgress(at=play.tick(), item=item.id, attempt=1, build=build.uuid, data=WorkerData(number=1)))
    assert build.estimate == 0.0


def test_builds_carry_the_precedence_of_their_pipeline(play: Player) -> None:
    change = approved(play)
    play.propose(change)
    said = {build.payload.parameters["ZUUL_PIPELINE"]: build.payload.precedence for build in play.world.builds.values()}
    assert said == {"gate": "high", "check": "normal"}


def test_children_run_only_after_their_parent_succeeded(play: Player) -> None:
    change = approved(play, "P")
    play.release("P-m", result="UNSTABLE")

    assert play.count() == 1
    assert "P-t1" in play.world.comments[-1].message
    assert play.world.comments[-1].message.count("SKIPPED") == 2
    assert play.told_of(change) == ["start", "failure"]


def test_the_branches_of_a_tree_run_side_by_side() -> None:
    one, two = JobNode("one", (JobNode("below-one"),)), JobNode("two", (JobNode("below-two"),))
    play = Player(gate_layouts.with_tree(gate_layouts.scenario_layout(), "Q", one, two))
    approved(play)

    assert play.running() == ["one 1,1", "two 1,1"]
    play.release("two")
    assert play.running() == ["one 1,1", "below-two 1,1"]
    play.release("one", result="FAILURE")
    assert play.running() == ["below-two 1,1"]


def test_a_job_that_stands_twice_runs_once_wherever_it_may() -> None:
    both = (JobNode("one", (JobNode("both"),)), JobNode("two", (JobNode("both"),)))
    play = Player(gate_layouts.with_tree(gate_layouts.scenario_layout(), "Q", *both))
    change = approved(play)

    play.release("one", result="FAILURE")
    assert play.told_of(change) == ["start"]
    play.release("two")
    assert play.running() == ["both 1,1"]
    play.drain()
    assert play.built("both") == ["1,1"]


def test_a_job_without_vote_can_hold_its_children_back() -> None:
    tree = JobNode("style", (JobNode("deep"),))
    layout = gate_layouts.with_tree(gate_layouts.scenario_layout(), "Q", tree)
    play = Player(gate_layouts.with_job(layout, "style", voting=False))
    change = approved(play)
    play.release("style", result="FAILURE")
    assert "deep" in play.world.comments[-1].message
    assert play.told_of(change) == ["start", "failure"]  # `deep` votes, and was skipped


def holding_layout() -> Player:
    layout = gate_layouts.scenario_layout(jobs=(Job(name="one", mutex="lock"), Job(name="two", mutex="lock")))
    return Player(gate_layouts.with_tree(layout, "Q", JobNode("one"), JobNode("two")))


def test_jobs_of_one_mutex_take_turns_in_the_order_of_changes_and_jobs() -> None:
    play = holding_layout()
    play.approve(play.upload("Q"), play.upload("Q"))

    seen = []
    while running := play.world.running():
        (build,) = [play.world.builds[name] for name in running]
        seen.append((build.payload.job, build.payload.parameters["ZUUL_CHANGE"]))
        play.release(".*")

    assert seen == [("one", "1"), ("two", "1"), ("one", "2"), ("two", "2")]
    assert play.state.mutexes == {}
    assert play.landed() == ["1", "2"]


def test_a_mutex_is_free_when_its_change_is_abandoned() -> None:
    play = holding_layout()
    first, second = play.upload("Q"), play.upload("Q")
    play.approve(first, second)
    play.abandon(first)
    assert play.running() == ["one 2,1"]
    play.drain()
    assert play.state.mutexes == {}


def test_a_mutex_is_free_when_its_job_is_removed() -> None:
    play = holding_layout()
    play.approve(play.upload("Q"))
    play.load(gate_layouts.without_job(play.layout, "one"))
    assert play.running() == ["two 1,1"]
    assert list(play.state.mutexes) == ["lock"]


def test_a_mutex_stays_taken_over_a_reconfiguration() -> None:
    play = holding_layout()
    play.approve(play.upload("Q"))
    play.load(play.layout)
    assert play.running() == ["one 1,1"]


def test_a_retry_does_not_lose_its_place_to_another_mutex() -> None:
    """A new layout gave the job a mutex, which another build holds when the job is to be run again."""
    layout = gate_layouts.scenario_layout(jobs=(Job(name="one", mutex="lock"), Job(name="two")))
    play = Player(gate_layouts.with_tree(layout, "Q", JobNode("one"), JobNode("two")))
    play.approve(play.upload("Q"))
    play.load(gate_layouts.with_job(play.layout, "two", mutex="lock"))

    play.release("two", result=None)
    assert play.running() == ["one 1,1"]
    play.drain()

    assert play.built("two") == ["1,1", "1,1"]
    assert play.landed() == ["1"]
    play.check_the_end()


def test_tries_are_counted_while_a_job_waits_for_its_mutex() -> None:
    layout = gate_layouts.scenario_layout(jobs=(Job(name="one", mutex="lock"), Job(name="two", attempts=2)))
    play = Player(gate_layouts.with_tree(layout, "Q", JobNode("one"), JobNode("two")))
    change = play.upload("Q")
    play.approve(change)
    play.load(gate_layouts.with_job(play.layout, "two", mutex="lock"))
    play.release("two", result=None)
    play.release("one")
    play.release("two", result=None)

    assert play.told_of(change) == ["start", "failure"]
    assert "RETRY_LIMIT" in play.world.comments[-1].message


def test_a_retried_job_lets_a_change_ahead_have_the_mutex() -> None:
    play = holding_layout()
    first, second = play.upload("Q"), play.upload("Q")
    play.approve(first, second)
    play.release("one", result=None)
    assert play.running() == ["one 1,1"]
