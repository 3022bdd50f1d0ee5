"""Behaviour 10.5 and 10.13: what timers and our own events start."""

from msgspec.structs import replace
from support import gate_layouts
from support.gate_layouts import COMMENT
from support.player import Player

from zuul_launcher.model.actions import FetchSiblings
from zuul_launcher.model.events import SiblingsSeen, TimerFired
from zuul_launcher.model.layout import Layout, Pipeline, TimerFilter, ZuulFilter


def with_one_more(layout: Layout, pipeline: Pipeline, *projects: str, job: str = "noop") -> Layout:
    """A further pipeline in which these projects run one job."""
    layout = replace(layout, pipelines={**layout.pipelines, pipeline.name: pipeline})
    for project in projects:
        layout = gate_layouts.with_tree(layout, project, gate_layouts.JobNode(job), pipelines=(pipeline.name,))
    return layout


def nightly(*projects: str) -> Layout:
    pipeline = Pipeline(name="nightly", kind="independent", triggers=(TimerFilter(time="0 3 * * *"),), success=COMMENT)
    return with_one_more(gate_layouts.scenario_layout(), pipeline, *projects, job="soak")


def fire(play: Player) -> None:
    play.send(TimerFired(at=play.tick(), pipeline="nightly"))
    play.settle()


def test_a_timer_runs_the_jobs_of_every_project_of_its_pipeline() -> None:
    play = Player(nightly("P", "Q"))
    fire(play)
    assert len(play.running()) == 2
    play.drain()
    assert play.closed() == ["reported success"] * 2
    play.check_the_end()


def test_a_timer_has_the_repository_brought_up_to_date_before_its_jobs_run() -> None:
    play = Player(nightly("P"))
    play.send(TimerFired(at=play.tick(), pipeline="nightly"))
    (merge,) = play.merges
    assert (merge.function, merge.arguments["project"]) == ("merger:update", "P")
    assert play.running() == []
    play.settle()
    assert len(play.running()) == 1


def test_a_project_whose_last_run_goes_on_is_not_run_again() -> None:
    play = Player(nightly("P"))
    fire(play)
    fire(play)
    assert len(play.running()) == 1
    play.drain()
    fire(play)
    assert len(play.running()) == 1


def test_a_timer_of_a_pipeline_that_is_gone_does_nothing() -> None:
    play = Player(nightly("P"))
    play.load(gate_layouts.scenario_layout())
    fire(play)
    assert play.running() == []


def test_abandoning_a_change_leaves_the_timer_runs_of_its_project_alone() -> None:
    play = Player(nightly("P"))
    fire(play)
    change = play.upload("P")
    play.abandon(change)
    assert len(play.running()) == 1


def recheck(event: str, **more: object) -> Layout:
    trigger = ZuulFilter(events=(event,), **more)
    pipeline = Pipeline(name="recheck", kind="independent", triggers=(trigger,), success=COMMENT)
    return with_one_more(gate_layouts.scenario_layout(), pipeline, "P", "Q", job="look")


def test_a_change_is_looked_at_when_what_it_needs_was_enqueued() -> None:
    play = Player(recheck("parent-change-enqueued", pipelines=("gate",)))
    parent = play.upload("Q")
    child = play.upload("P", depends=(parent.number,), approved=False)
    play.approve(parent)
    play.settle()
    assert [queue for queue in play.queued("recheck") if queue] == [[f"({parent.id})", child.id]]


def test_a_parent_in_another_pipeline_is_not_meant() -> None:
    play = Player(recheck("parent-change-enqueued", pipelines=("check",)))
    parent = play.upload("Q")
    play.upload("P", depends=(parent.number,), approved=False)
    play.approve(parent)
    assert play.queued("recheck") == []


def test_when_a_change_lands_the_open_ones_of_its_project_are_asked_for_and_looked_at() -> None:
    play = Player(recheck("project-change-merged"))
    landing, other = play.upload("Q"), play.upload("Q", approved=False)
    play.approve(landing)
    play.drain()
    asked = [action for _, _, actions in play.log for action in actions if isinstance(action, FetchSiblings)]
    assert [(one.connection, one.project) for one in asked] == [("gerrit", "Q")]

    play.send(SiblingsSeen(at=play.tick(), subjects=(other.key,), facts=play.world.facts(other.number)))
    assert play.queued("recheck") == [[other.id]]
    play.drain()
    play.check_the_end()


def test_nobody_is_asked_if_no_pipeline_listens() -> None:
    play = Player(gate_layouts.scenario_layout())
    play.approve(play.upload("Q"))
    play.drain()
    assert play.landed()
    assert not any(isinstance(action, FetchSiblings) for _, _, actions in play.log for action in actions)
