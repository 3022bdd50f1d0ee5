"""What steps mean for the metrics."""

from support.states import EPOCH, add_build, add_item, make_change, make_layout, make_pipeline, make_state, tree

from zuul_launcher.metrics import Measurement
from zuul_launcher.model.events import (
    BuildFinished,
    BuildLost,
    FactsSeen,
    LayoutLoaded,
    PromoteRequested,
    TimerFired,
    WorkerData,
)
from zuul_launcher.model.queue import Build, Item, PipelineState, State
from zuul_launcher.service.measure import measure, sizes
from zuul_launcher.service.records import known

LAYOUT = make_layout(
    make_pipeline("gate"),
    make_pipeline("check", "independent"),
    trees={"lib/alpha": {"gate": tree("unit"), "check": tree("unit")}},
)
NOW = EPOCH + 100


def playing() -> tuple[State, Item, Build]:
    """A gate with one item, whose build runs."""
    state = make_state()
    state.pipelines["check"] = PipelineState()
    item = add_item(state, LAYOUT, make_change())
    build = add_build(
        item, "unit", handle="H:1", started_at=EPOCH + 10, node_name="node7", node_labels=("big", "node7")
    )
    return state, item, build


def finished(item: Item, build: Build, result: str | None, **data: object) -> BuildFinished:
    worker = WorkerData(**data)  # type: ignore[arg-type]
    return BuildFinished(at=NOW, item=item.id, attempt=1, build=build.uuid, result=result, data=worker)


def test_a_timer_is_counted_like_an_event_of_gerrit() -> None:
    state, _, _ = playing()
    fired = TimerFired(at=NOW, pipeline="gate")
    assert measure(known(state), state, fired) == [Measurement("zuul_events", ("timer",))]


def test_a_start_tells_the_size_of_every_pipeline() -> None:
    state, _, _ = playing()
    assert sizes(state) == [Measurement("zuul_items", ("check",), 0), Measurement("zuul_items", ("gate",), 1)]


def test_a_build_that_ends_is_counted_with_its_times() -> None:
    state, item, build = playing()
    for result in ("SUCCESS", "FAILURE"):
        assert measure(known(state), state, finished(item, build, result)) == [
            Measurement("zuul_builds", ("gate", "unit", result)),
            Measurement("zuul_build_seconds", ("gate", "unit", result), 90.0),
            Measurement("zuul_build_wait_seconds", ("gate", "unit"), 9.0),
            Measurement("zuul_label_wait_seconds", ("gate", "big"), 9.0),
        ]


def test_the_duration_of_other_results_says_nothing() -> None:
    state, item, build = playing()
    made = [one.metric for one in measure(known(state), state, finished(item, build, "LOST"))]
    assert made == ["zuul_builds", "zuul_build_wait_seconds", "zuul_label_wait_seconds"]
    assert measure(known(state), state, finished(item, build, None))[0].values == ("gate", "unit", "None")


def test_what_the_worker_says_with_the_result_counts() -> None:
    state, item, build = playing()
    made = measure(known(state), state, finished(item, build, "LOST", node_name="big", node_labels=("big", "small")))
    assert [one.values[1] for one in made if one.metric == "zuul_label_wait_seconds"] == ["small"]


def test_a_build_that_was_never_started_has_no_times() -> None:
    state, item, build = playing()
    build.started_at = None
    assert measure(known(state), state, finished(item, build, "FAILURE")) == [
        Measurement("zuul_builds", ("gate", "unit", "FAILURE"))
    ]


def test_a_build_that_nobody_took_or_that_had_ended_or_that_got_lost_is_not_counted() -> None:
    state, item, build = playing()
    lost = BuildLost(at=NOW, item=item.id, attempt=1, build=build.uuid, reason="gone")
    assert measure(known(state), state, lost) == []
    build.handle = None
    assert measure(known(state), state, finished(item, build, "NOT_REGISTERED")) == []
    build.handle, build.result = "H:1", "SUCCESS"
    assert measure(known(state), state, finished(item, build, "SUCCESS")) == []


def test_items_that_come_and_go_are_counted() -> None:
    state, item, _ = playing()
    before = known(state)
    add_item(state, LAYOUT, make_change("4711"), "check")
    event = FactsSeen(at=NOW, facts=())
    assert measure(before, state, event) == [Measurement("zuul_items", ("check",), 1)]
    before = known(state)
    del state.items[item.id]
    assert measure(before, state, event) == [
        Measurement("zuul_items", ("gate",), 0),
        Measurement("zuul_item_resident_seconds", ("gate", "lib/alpha"), 99.0),
        Measurement("zuul_items_left", ("gate", "lib/alpha")),
    ]
    assert measure(known(state), state, event) == []


def test_items_that_leave_to_be_promoted_are_only_counted_as_gone() -> None:
    state, item, _ = playing()
    before = known(state)
    del state.items[item.id]
    promoted = PromoteRequested(at=NOW, request="r", pipeline="gate", changes=("4710,2",))
    assert measure(before, state, promoted) == [Measurement("zuul_items", ("gate",), 0)]


def test_a_new_layout_tells_all_sizes_and_that_pipelines_which_are_gone_have_nothing() -> None:
    state, item, _ = playing()
    before = known(state)
    del state.items[item.id], state.pipelines["gate"]
    made = measure(before, state, LayoutLoaded(at=NOW, layout="x"))
    assert [(one.values, one.value) for one in made if one.metric == "zuul_items"] == [(("check",), 0), (("gate",), 0)]
