"""What clients are told of a build, and the words for its result."""

import json

import pytest

from zuul_launcher.worker.builds.limits import Identity
from zuul_launcher.worker.builds.news import ended, progress, started
from zuul_launcher.worker.builds.outcome import applies, shown_status, worst

MANAGER = Identity(name="m1", root_url="http://h", metadata={"worker_hostname": "h1"})


def test_the_first_data_has_its_keys_in_the_stated_order_and_no_result() -> None:
    """D36."""
    data = json.loads(started(MANAGER, "unit", 3, "n1_exec-0", "n1", {"n1", "linux", "a"}))
    assert list(data.items()) == [
        ("name", "unit"),
        ("number", 3),
        ("manager", "m1"),
        ("worker", "n1_exec-0"),
        ("url", "http://h/job/unit/3/"),
        ("node_labels", ["a", "linux", "n1"]),
        ("node_name", "n1"),
        ("worker_hostname", "h1"),
    ]


def test_the_last_data_has_the_result_also_if_there_is_none() -> None:
    """D39."""
    data = json.loads(ended(MANAGER, "unit", 3, "n1_exec-0", "n1", ["n1", "a", "linux"], None))
    assert list(data) == ["name", "number", "manager", "worker", "url", "result", "node_labels", "node_name"]
    assert data["result"] is None
    assert data["node_labels"] == ["a", "linux", "n1"]


def test_without_a_root_url_there_is_no_url() -> None:
    """D45."""
    assert "url" not in json.loads(started(Identity(name="m"), "unit", 3, "w", "n1", ["n1"]))
    assert "url" not in json.loads(ended(Identity(name="m"), "unit", 3, "w", "n1", ["n1"], "SUCCESS"))


def test_of_a_node_that_is_gone_nothing_is_said() -> None:
    data = json.loads(started(Identity(name="m"), "unit", 3, "w", "", frozenset()))
    assert (data["node_name"], data["node_labels"]) == ("", [])


def test_the_first_progress_is_zero_percent() -> None:
    """D37."""
    assert progress(0.0, None) == (0, 100)
    assert progress(0.0, 5000) == (0, 5000)


def test_progress_is_in_milliseconds_and_never_complete() -> None:
    """D38."""
    assert progress(1.25, 5000) == (1250, 5000)
    assert progress(99.0, 5000) == (4999, 5000)


@pytest.mark.parametrize(
    ("results", "found"),
    [
        ([], "SUCCESS"),
        (["SUCCESS", "UNSTABLE"], "UNSTABLE"),
        (["UNSTABLE", "POST_FAILURE"], "POST_FAILURE"),
        (["FAILURE", "POST_FAILURE"], "FAILURE"),
        (["TIMED_OUT", "FAILURE"], "TIMED_OUT"),
        (["ABORTED", "FAILURE", "TIMED_OUT"], "ABORTED"),
        (["ABORTED", None], None),
        (["SUCCESS", "NOT_BUILT"], "FAILURE"),
    ],
)
def test_the_worst_result_wins(results: list[str | None], found: str | None) -> None:
    assert worst(results) == found


@pytest.mark.parametrize(
    ("when", "so_far", "runs"),
    [
        (("success",), "SUCCESS", True),
        (("success",), "UNSTABLE", False),
        (("failure",), "SUCCESS", False),
        (("failure",), "FAILURE", True),
        (("failure",), None, True),
        (("always",), None, True),
        (("ABORTED", "success"), "ABORTED", True),
        (("ABORTED", "success"), "FAILURE", False),
        ((), "SUCCESS", False),
    ],
)
def test_conditions_of_steps(when: tuple[str, ...], so_far: str | None, runs: bool) -> None:
    """D87."""
    assert applies(when, so_far) is runs


def test_the_end_by_a_signal_is_shown_as_a_shell_does() -> None:
    assert [shown_status(status) for status in (0, 3, -9, -15)] == [0, 3, 137, 143]
