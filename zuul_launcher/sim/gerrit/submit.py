"""Submits a change and the open changes that it stands on, as Gerrit's "merge if necessary" does."""

import time

from zuul_launcher.sim.gerrit import events
from zuul_launcher.sim.gerrit.git import Author, GitFailed, git
from zuul_launcher.sim.gerrit.model import (
    ALL_LABELS,
    PRIVILEGED,
    Account,
    Change,
    PatchSet,
    Refused,
    Vote,
    cast_vote,
    label_states,
)
from zuul_launcher.sim.gerrit.state import State

CONFLICT = (
    "Change could not be merged due to a path conflict. "
    "Please rebase the change locally and upload the rebased commit for review."
)


def submit(state: State, change: Change, patch_set: PatchSet, who: Account) -> None:
    """Moves the branch and closes the changes. Raises Refused, and then nothing has happened."""
    if change.status != "NEW":
        raise Refused(f"change is {change.status.lower()}")
    if who.username not in PRIVILEGED:
        raise Refused("submit not permitted")
    if patch_set is not change.current:
        raise Refused(f"revision {patch_set.revision} is not current revision")
    stack = _stack(state, change)
    problems = [f"Change {part.number}: {unmet}" for part, _ in stack if (unmet := _unmet(part))]
    if not problems:
        problems = [f"Change {change.number}: {outdated}" for outdated in map(_outdated, stack) if outdated][:1]
    if not problems:
        refused = [part.number for part, _ in stack if part.number in state.refused_submits]
        new = "" if refused else _merged(state, change, who)
        if not new:
            problems = [f"Change {part.number}: {CONFLICT}" for part, _ in stack]
    if problems:
        count = "1 change" if len(stack) == 1 else f"{len(stack)} changes"
        raise Refused("\n".join([f"Failed to submit {count} due to the following problems:", *problems]))
    state.move_branch(change.project, f"refs/heads/{change.branch}", new, who)
    for part, _ in stack:
        cast_vote(part.current, Vote("SUBM", 1, who, state.now()))
        part.status = "MERGED"
        state.add_message(part, who, "Change has been successfully merged")
        state.emit(events.change_merged(state.recorder, part, who, new, state.now()))


def _stack(state: State, change: Change) -> list[tuple[Change, PatchSet]]:
    """The open changes with a commit between the branch and this change, lowest first, and that commit."""
    head = state.head(change.project, change.branch)
    commits = git(state.repository(change.project), "rev-list", "--reverse", change.current.revision, f"^{head}")
    found = (state.patch_set_of(change.project, change.branch, commit) for commit in commits.split())
    return [pair for pair in found if pair is not None and pair[0].status != "MERGED"]


def _unmet(change: Change) -> str:
    if change.status != "NEW":
        return ""
    missing = [state.label for state in label_states(change.current, ALL_LABELS) if state.status in ("NEED", "REJECT")]
    return f"submit requirement '{missing[-1]}' is unsatisfied." if missing else ""


def _outdated(pair: tuple[Change, PatchSet]) -> str:
    change, patch_set = pair
    if change.status == "ABANDONED":
        reason = f"is associated with change {change.number} which is abandoned."
    elif patch_set is not change.current:
        reason = f"is outdated patch set {patch_set.number} of change {change.number}."
    else:
        return ""
    return f"Depends on commit that cannot be merged. It depends on commit {patch_set.revision}, which {reason}"


def _merged(state: State, change: Change, who: Account) -> str:
    """The commit that the branch moves to, or "" on a conflict."""
    repository = state.repository(change.project)
    head, tip = state.head(change.project, change.branch), change.current.revision
    if git(repository, "merge-base", head, tip) == head:
        return tip
    try:
        tree = git(repository, "merge-tree", "--write-tree", head, tip)
    except GitFailed:
        return ""
    author = Author(who.name, who.email, int(time.time()))
    message = f'Merge "{change.subject}"' + (f" into {change.branch}" if change.branch != "master" else "") + "\n"
    environment = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", author.name), ("EMAIL", author.email), ("DATE", f"{author.at} +0000"))
    }
    return git(repository, "commit-tree", tree, "-p", head, "-p", tip, given=message, **environment)
