"""Which functions a node offers: the table of worker-and-remoting A5, and the names of connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.queue_world import a_job, a_node

from zuul_launcher.worker.queue.functions import (
    Difference,
    QueueNode,
    build_functions,
    difference,
    executor_id,
    management_id,
    may_run,
    split_function,
)

TABLE = [
    # expression, node, what is offered
    (None, a_node("n"), {"build:P"}),
    (None, a_node("n", "linux"), {"build:P"}),
    (None, a_node("n", exclusive=True), set()),
    ("linux", a_node("n", "ubuntu", "gcc", "linux"), {"build:P", "build:P:linux"}),
    ("linux", a_node("n", "linux", exclusive=True), {"build:P", "build:P:linux"}),
    ("bogus", a_node("n", "ubuntu", "linux"), set()),
    ("precise || oneiric", a_node("n", "precise"), {"build:P", "build:P:precise"}),
    ("a && b", a_node("n", "a", "b", "c"), {"build:P", "build:P:a", "build:P:b"}),
    ("a && b", a_node("n", "a"), set()),
    ("!linux", a_node("n", "linux"), set()),
    ("!linux", a_node("n", "windows"), {"build:P"}),
    ("trusty", a_node("trusty-7", "trusty"), {"build:P", "build:P:trusty"}),
    ("trusty-7", a_node("trusty-7"), {"build:P", "build:P:trusty-7"}),
]


@pytest.mark.parametrize(("expression", "node", "offered"), TABLE)
def test_a_node_offers_what_the_table_says(expression: str | None, node: QueueNode, offered: set[str]) -> None:
    """D1. D2. D3. D6. D7. D8. D9."""
    assert build_functions(node, [a_job("P", expression)]) == offered


@pytest.mark.parametrize(("expression", "node", "offered"), TABLE)
def test_a_build_by_hand_may_run_where_its_function_would_be_offered(
    expression: str | None, node: QueueNode, offered: set[str]
) -> None:
    assert may_run(node, a_job("P", expression)) == bool(offered)


def test_a_disabled_job_is_offered_by_nobody() -> None:
    """D4."""
    assert build_functions(a_node("n"), [a_job("P", disabled=True), a_job("Q")]) == {"build:Q"}


def test_a_node_that_is_offline_offers_nothing() -> None:
    """D5."""
    assert build_functions(a_node("n", "linux", online=False), [a_job("P"), a_job("Q", "linux")]) == set()


def test_functions_are_split_into_job_and_label() -> None:
    assert split_function("build:a") == ("a", "")
    assert split_function("build:team/a:linux") == ("team/a", "linux")
    assert split_function("stop:a") is None


_NAMES = st.sets(st.sampled_from([f"build:{letter}" for letter in "abcdefgh"]))


@given(_NAMES, _NAMES)
def test_a_difference_makes_one_set_of_the_other(registered: set[str], wanted: set[str]) -> None:
    change = difference(registered, wanted)
    assert ((set() if change.reset else registered) | set(change.added)) - set(change.removed) == wanted
    assert not set(change.added) & registered
    assert set(change.removed) <= registered
    assert change.reset == (bool(registered) and not wanted)


def test_what_does_not_change_is_not_sent() -> None:
    assert difference({"build:a"}, {"build:a"}) == Difference()
    assert difference(set(), set()) == Difference()


def test_client_ids_say_node_and_executor() -> None:
    """D18."""
    assert executor_id("m", a_node("n"), 3) == "n_exec-3"
    assert executor_id("m", a_node("built-in", is_built_in=True), 0) == "m_exec-0"
    assert executor_id("m", a_node("n"), 3, qualify=True) == "m_n_exec-3"
    assert management_id("m") == "m_manager"
