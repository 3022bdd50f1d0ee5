"""What to do about a build that was submitted before the connection broke: pure.

The rule in one line: never run it twice where the server lets us know, never leave it unheard where it does not.
"""

import enum

from zuul_launcher.gearman.client import JobStatus, ServerKind


class Course(enum.Enum):
    SUBMIT = "submit"  # again, with the same unique: it joins the job, and its result arrives
    WITHDRAW = "withdraw"  # take it off the queue, then as LOSE
    LOSE = "lose"  # stop it if possible, and have it run anew


def reattach(kind: ServerKind, status: JobStatus, *, has_handle: bool, is_cancelled: bool) -> Course:
    """
    - OURS keeps jobs of a client that left, and results: known is known. Without a handle the submission may never have
      arrived, so it is made (again); one that is cancelled must not be.
    - JOINING (gearmand): a running job can be joined; a queued one whose client left is never run, and swallows its
      unique.
    - SIMPLE (gear.Server): a second submission would be a second run.
    """
    if kind is ServerKind.OURS:
        return Course.SUBMIT if status.known or not (has_handle or is_cancelled) else Course.LOSE
    if kind is ServerKind.JOINING and status.known:
        return Course.SUBMIT if status.running else Course.WITHDRAW
    return Course.LOSE
