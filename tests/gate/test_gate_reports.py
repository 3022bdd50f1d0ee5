"""Behaviour 10.9: which reporters a verdict goes to, and pipelines that are disabled after too many failures."""

from support import gate_layouts
from support.player import Player

from zuul_launcher.model.layout import Reporter
from zuul_launcher.sim.world import PlayedChange

MAIL = (Reporter(connection="mail", options={}),)


def targets(play: Player, verdict: str) -> set[str]:
    return {
        reporter.connection for said in play.world.comments if said.verdict == verdict for reporter in said.reporters
    }


def test_a_conflict_goes_to_the_reporters_of_merge_failures_only() -> None:
    play = Player(gate_layouts.scenario_layout(merge_failure=MAIL, merge_failure_message="It does not fit."))
    a, b = play.upload("Q"), play.upload("Q")
    play.world.conflicts.add(frozenset((a.number, b.number)))
    play.approve(a, b)
    play.drain()

    assert targets(play, "merge-failure") == {"mail"}
    (message,) = [said.message for said in play.world.comments if said.verdict == "merge-failure"]
    assert message.startswith("It does not fit.")


def test_a_failed_job_goes_to_the_reporters_of_failures_only() -> None:
    play = Player(gate_layouts.scenario_layout(merge_failure=MAIL))
    change = play.upload("Q")
    play.approve(change)
    play.release("Q-only", result="FAILURE")
    assert targets(play, "failure") == {"gerrit"}
    assert play.told_of(change) == ["start", "failure"]


def test_a_pipeline_without_start_reporters_says_nothing_at_the_start() -> None:
    play = Player(gate_layouts.scenario_layout(start=()))
    change = play.upload("Q")
    play.approve(change)
    assert play.told_of(change) == []


def test_only_a_success_in_a_gate_asks_gerrit_to_submit() -> None:
    play = Player(gate_layouts.scenario_layout())
    good, bad = play.upload("Q"), play.upload("Q")
    play.world.broken.add(("Q-only", bad.number))
    play.approve(good, bad)
    play.propose(good)
    play.drain()
    said = {(said.verdict, said.submit) for said in play.world.comments}
    assert said == {("start", False), ("success", True), ("success", False), ("failure", False)}


def disabling(limit: int = 3) -> Player:
    layout = gate_layouts.scenario_layout()
    return Player(gate_layouts.with_pipeline(layout, "check", disable_after=limit, disabled=MAIL))


def checked(play: Player, result: str) -> PlayedChange:
    change = play.upload("Q")
    play.propose(change)
    play.release("Q-only", result=result)
    return change


def connection_told(play: Player) -> str:
    (reporter,) = play.world.comments[-1].reporters
    return reporter.connection


def test_a_success_begins_the_count_of_failures_anew() -> None:
    play = disabling()
    for result in ("FAILURE", "FAILURE", "SUCCESS", "FAILURE", "FAILURE"):
        checked(play, result)
    assert not play.state.pipelines["check"].disabled
    assert play.state.pipelines["check"].failures == 2


def test_the_last_failure_of_too_many_is_still_told_as_usual() -> None:
    play = disabling()
    for _ in range(3):
        checked(play, "FAILURE")
    assert connection_told(play) == "gerrit"
    assert play.state.pipelines["check"].disabled


def test_a_disabled_pipeline_tells_its_reporters_for_that_whatever_comes() -> None:
    play = disabling(limit=1)
    checked(play, "FAILURE")
    for result in ("SUCCESS", "FAILURE"):
        change = checked(play, result)
        assert connection_told(play) == "mail"
        assert play.told_of(change) == [result.lower()]
    assert play.state.pipelines["check"].disabled


def test_a_new_layout_enables_a_disabled_pipeline() -> None:
    play = disabling()
    for _ in range(3):
        checked(play, "FAILURE")
    play.load(play.layout)
    assert play.state.pipelines["check"].failures == 0
    checked(play, "FAILURE")
    assert connection_told(play) == "gerrit"


def test_a_conflict_is_not_counted_as_a_failure() -> None:
    play = disabling(limit=1)
    a, b = play.upload("Q"), play.upload("Q", depends=("1",))
    play.world.conflicts.add(frozenset((a.number, b.number)))
    play.propose(b)
    assert play.told_of(b) == ["merge-failure"]
    assert play.state.pipelines["check"].failures == 0


def test_a_conflict_in_a_disabled_pipeline_is_told_there_too() -> None:
    """v2 recurses without end."""
    play = disabling(limit=1)
    checked(play, "FAILURE")
    a, b = play.upload("Q"), play.upload("Q", depends=("2",))
    play.world.conflicts.add(frozenset((a.number, b.number)))
    play.propose(b)
    assert play.told_of(b) == ["merge-failure"]
    assert connection_told(play) == "mail"


def test_a_disabled_gate_neither_starts_with_a_word_nor_submits() -> None:
    play = Player(gate_layouts.scenario_layout(disable_after=1, disabled=MAIL))
    play.approve(play.upload("Q"))
    play.release("Q-only", result="FAILURE")
    change = play.upload("Q")
    play.approve(change)
    assert play.told_of(change) == []
    play.drain()
    assert play.told_of(change) == ["success"]
    assert play.landed() == []
    assert not play.world.comments[-1].submit


def test_a_dependency_failure_counts_as_a_failure() -> None:
    play = Player(gate_layouts.scenario_layout(disable_after=2))
    a = play.upload("Q")
    play.approve(a, play.upload("Q", depends=(a.id,)))
    play.release("Q-only", on="1,1", result="FAILURE")
    assert play.state.pipelines["gate"].disabled
