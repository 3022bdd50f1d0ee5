"""What is known of changes: kept up to date while an item needs it, dropped when none does."""

from collections.abc import Iterable

from msgspec.structs import replace

from zuul_launcher.model.change import Change, Subject
from zuul_launcher.model.queue import State


def learn(state: State, facts: Iterable[Subject]) -> None:
    """Take in what Gerrit said. Status and votes belong to the change, so they reach its older patch sets too."""
    for fact in facts:
        known = state.subjects.get(fact.key)
        if isinstance(known, Change) and isinstance(fact, Change) and known.merged and not fact.merged:
            continue  # asked before it landed; landing is for good
        state.subjects[fact.key] = fact
        if isinstance(fact, Change) and fact.current:
            _tell_older_patch_sets(state, fact)


def _tell_older_patch_sets(state: State, newest: Change) -> None:
    for key, known in state.subjects.items():
        if (
            isinstance(known, Change)
            and known.number == newest.number
            and known.connection == newest.connection
            and known.patchset != newest.patchset
        ):
            state.subjects[key] = replace(
                known,
                current=False,
                status=newest.status,
                open=newest.open,
                approvals=newest.approvals,
                submit_records=newest.submit_records,
            )


def note_landed(state: State, key: str) -> None:
    """Gerrit has just confirmed that it merged: whoever needs it need not wait for the next query."""
    subject = state.subjects[key]
    if isinstance(subject, Change):
        state.subjects[key] = replace(subject, status="MERGED", open=False)


def forget_unused(state: State) -> None:
    """Drop every fact that no item reaches, directly or through what it needs."""
    reached: dict[str, None] = {}
    todo = [item.subject for item in state.items.values()]
    while todo:
        key = todo.pop()
        subject = state.subjects.get(key)
        if key in reached or subject is None:
            continue
        reached[key] = None
        if isinstance(subject, Change):
            todo.extend(subject.needs)
    if len(reached) != len(state.subjects):
        state.subjects = {key: subject for key, subject in state.subjects.items() if key in reached}
