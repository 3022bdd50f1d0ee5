"""What becomes of a build that was submitted before the connection broke, by server."""

import pytest

from zuul_launcher.gearman.client import JobStatus, ServerKind
from zuul_launcher.gearman.reattach import Course, reattach

UNKNOWN = JobStatus(known=False, running=False)
QUEUED = JobStatus(known=True, running=False)
RUNNING = JobStatus(known=True, running=True)


@pytest.mark.parametrize(
    ("kind", "status", "course"),
    [
        (ServerKind.OURS, RUNNING, Course.SUBMIT),
        (ServerKind.OURS, QUEUED, Course.SUBMIT),
        (ServerKind.OURS, UNKNOWN, Course.LOSE),
        (ServerKind.JOINING, RUNNING, Course.SUBMIT),
        (ServerKind.JOINING, QUEUED, Course.WITHDRAW),
        (ServerKind.JOINING, UNKNOWN, Course.LOSE),
        (ServerKind.SIMPLE, RUNNING, Course.LOSE),
        (ServerKind.SIMPLE, QUEUED, Course.LOSE),
        (ServerKind.SIMPLE, UNKNOWN, Course.LOSE),
    ],
)
def test_a_build_with_a_handle(kind: ServerKind, status: JobStatus, course: Course) -> None:
    assert reattach(kind, status, has_handle=True, is_cancelled=False) is course


def test_only_our_server_may_be_given_a_build_again_whose_submission_may_never_have_arrived() -> None:
    assert reattach(ServerKind.OURS, UNKNOWN, has_handle=False, is_cancelled=False) is Course.SUBMIT
    assert reattach(ServerKind.JOINING, UNKNOWN, has_handle=False, is_cancelled=False) is Course.LOSE
    assert reattach(ServerKind.SIMPLE, UNKNOWN, has_handle=False, is_cancelled=False) is Course.LOSE


def test_a_cancelled_build_is_not_given_to_a_server_that_does_not_know_it() -> None:
    assert reattach(ServerKind.OURS, UNKNOWN, has_handle=False, is_cancelled=True) is Course.LOSE
    assert reattach(ServerKind.OURS, QUEUED, has_handle=False, is_cancelled=True) is Course.SUBMIT
