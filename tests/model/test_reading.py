"""What is read off a state: results of jobs in their tree, who is ahead, what is active."""

from support import states

from zuul_launcher.model.change import change_key, normal_label
from zuul_launcher.model.layout import Job, Layout
from zuul_launcher.model.queue import BuildSet, Item, State
from zuul_launcher.model.reading import (
    chain,
    followers,
    has_failed_job,
    is_active,
    is_complete,
    is_voting,
    queue_holding,
    results,
)


def layout_of(*jobs: object, known: tuple[Job, ...] = ()) -> Layout:
    gate = states.make_pipeline("gate", shared_queues={"lib/alpha": "alpha"})
    return states.make_layout(gate, trees={"lib/alpha": {"gate": states.tree(*jobs)}}, jobs=known)  # type: ignore[arg-type]


def item_with(layout: Layout, **outcome: str | None) -> tuple[State, Item]:
    state = states.make_state()
    item = states.add_item(state, layout, states.make_change())
    for job, result in outcome.items():
        states.add_build(item, job, result=result)
    return state, item


def test_jobs_come_in_the_order_of_the_tree_and_without_a_build_they_have_no_result() -> None:
    layout = layout_of("b", ("a", "c"))
    state, item = item_with(layout, a="SUCCESS")
    assert list(results(layout, state, item).items()) == [("b", None), ("a", "SUCCESS"), ("c", None)]


def test_what_stands_below_a_failed_job_is_skipped() -> None:
    layout = layout_of(("a", ("b", "c")), "d")
    state, item = item_with(layout, a="FAILURE")
    assert results(layout, state, item) == {"a": "FAILURE", "b": "SKIPPED", "c": "SKIPPED", "d": None}


def test_what_has_run_keeps_its_result_whatever_stands_above_it_now() -> None:
    layout = layout_of(("a", "b"))
    state, item = item_with(layout, a="FAILURE", b="SUCCESS")
    assert results(layout, state, item)["b"] == "SUCCESS"


def test_a_job_that_stands_twice_is_skipped_only_if_both_its_parents_failed() -> None:
    for first, second, expected in (
        ("FAILURE", "SUCCESS", None),
        ("SUCCESS", "FAILURE", None),
        ("FAILURE", None, None),
        ("FAILURE", "FAILURE", "SKIPPED"),
    ):
        layout = layout_of(("one", "both"), ("two", "both"))
        state, item = item_with(layout, one=first, two=second)
        assert results(layout, state, item)["both"] == expected


def test_after_a_merge_that_failed_no_job_will_run() -> None:
    layout = layout_of("a", "b")
    state, item = item_with(layout)
    item.build_set = BuildSet(merge="failed")
    assert results(layout, state, item) == {"a": "SKIPPED", "b": "SKIPPED"}
    assert is_complete(layout, state, item)


def test_after_a_needed_change_failed_no_job_will_run() -> None:
    layout = layout_of("a")
    state, item = item_with(layout)
    item.needs_failed = True
    assert results(layout, state, item) == {"a": "SKIPPED"}


def test_an_item_is_complete_when_each_job_has_a_result() -> None:
    layout = layout_of("a", "b")
    state, item = item_with(layout, a="SUCCESS", b=None)
    assert not is_complete(layout, state, item)
    item.build_set.builds["b"].result = "FAILURE"
    assert is_complete(layout, state, item)


def test_only_a_voting_job_that_ended_without_success_fails_an_item() -> None:
    layout = layout_of("a", "b", known=(Job(name="b", voting=False),))
    for a, b, failed in (
        ("SUCCESS", None, False),
        ("UNSTABLE", None, True),
        (None, "FAILURE", False),
        (None, "SUCCESS", False),
    ):
        state, item = item_with(layout, a=a)
        states.add_build(item, "b", voting=False, result=b)
        assert has_failed_job(layout, state, item) is failed


def test_the_vote_of_a_build_goes_before_that_of_its_job() -> None:
    layout = layout_of("a", known=(Job(name="a", voting=True),))
    _, item = item_with(layout)
    assert is_voting(layout, item, "a")
    states.add_build(item, "a", voting=False)
    assert not is_voting(layout, item, "a")
    assert is_voting(layout, item, "gone")


def test_the_chain_is_oldest_first_without_the_item() -> None:
    layout = layout_of("a")
    state = states.make_state()
    first, second, third = (states.add_item(state, layout, states.make_change(number)) for number in ("1", "2", "3"))
    assert chain(state, third) == [first, second]
    assert chain(state, first) == []
    queue = queue_holding(state, second)
    assert queue is not None
    assert followers(state, queue, first) == [second]


def test_the_window_counts_from_the_head_and_zero_is_no_limit() -> None:
    layout = layout_of("a")
    state = states.make_state()
    items = [states.add_item(state, layout, states.make_change(number)) for number in ("1", "2", "3")]
    queue = queue_holding(state, items[0])
    assert queue is not None
    for window, active in ((2, [True, True, False]), (0, [True, True, True])):
        queue.window = window
        assert [is_active(state, queue, item) for item in items] == active


def test_an_item_that_left_is_in_no_queue() -> None:
    layout = layout_of("a")
    state, item = item_with(layout)
    state.pipelines["gate"].queues[0].items.clear()
    assert queue_holding(state, item) is None


def test_names_are_those_of_gerrit() -> None:
    change = states.make_change("4710", "2")
    assert (change.key, change.id) == (change_key("gerrit", "4710", "2"), "4710,2")
    assert normal_label("Code Review") == normal_label("code-review")
