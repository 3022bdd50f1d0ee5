"""Writes the event lines that were missed while the stream was down, from what `gerrit query` remembers.

Written are new patch sets, comments with their votes, and that a change was restored, abandoned or merged. What a
query does not remember is lost: deleted branches and direct pushes (`ref-updated`), votes that were taken back.
The lines look like those of `stream-events` and go the same way. Times are Gerrit's, to the second, so a few seconds
more are read than were missed; what has been seen already is left out.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.record import ParseError, Record, child, children, number_of, seconds_of, text_of
from zuul_launcher.model.events import Trigger

OVERLAP = 120  # seconds before the loss that are read again: clocks differ, and so do event and query times
MOST_CHANGES = 2000  # of each status

_PATCH_SET = re.compile(r"Patch Set ([1-9][0-9]{0,9}):")
_ENDS = {
    "MERGED": ("change-merged", "submitter", "Change has been successfully"),
    "ABANDONED": ("change-abandoned", "abandoner", "Abandoned"),
}
_APART = 5  # seconds between a comment and its votes, or an event and its trace in the query, at most

log = logging.getLogger(__name__)

Moment = tuple[int, int, dict[str, Any]]  # epoch seconds, rank among those of the same second, the event


def missed(query: Query, since: float, seen: Iterable[Trigger] = ()) -> list[bytes]:
    """Event lines of what happened since a time (epoch seconds), oldest first.

    `seen`: events received since a few minutes before `since`; they are not written again.
    Raises RemoteUnavailable, RemoteRefused.
    """
    start = int(since) - OVERLAP
    moments: list[Moment] = []
    for status in ("open", "merged", "abandoned"):
        for record in _changed(query, status, start):
            moments += [moment for moment in _moments(record) if moment[0] >= start]
    known = list(seen)
    moments.sort(key=lambda moment: moment[:2])
    lines = (json.dumps(event).encode() for _, _, event in moments)
    return [line for line in lines if not _is_known(line, known)]


def _changed(query: Query, status: str, start: int) -> Iterator[Record]:
    """Changes of a status that were updated since `start`; Gerrit answers with the latest first."""
    for count, record in enumerate(query.history(f"status:{status}")):
        if seconds_of(record, "lastUpdated") < start:
            return
        if count >= MOST_CHANGES:
            log.error("more than %d %s changes were updated: the events of older ones are lost", MOST_CHANGES, status)
            return
        yield record


def _moments(record: Record) -> Iterator[Moment]:
    """All that can be told of one change, in no order."""
    about = {
        name: record.get(name) for name in ("project", "branch", "topic", "id", "number", "subject", "owner", "url")
    }
    about |= {"commitMessage": record.get("commitMessage"), "status": record.get("status")}
    patch_sets = {number_of(row, "number"): row for row in children(record, "patchSets")}
    current = patch_sets.get(parse.current_patchset(record))
    if not current:
        return
    for patch_set in patch_sets.values():
        created = seconds_of(patch_set, "createdOn")
        yield created, 0, _event("patchset-created", about, patch_set, created, uploader=patch_set.get("uploader"))
    for comment in children(record, "comments"):
        at, message = seconds_of(comment, "timestamp"), text_of(comment, "message") or ""
        who = child(comment, "reviewer")
        if found := _PATCH_SET.match(message):
            patch_set = patch_sets.get(found[1], current)
            votes = _votes(patch_set, who, at)
            yield at, 1, _event("comment-added", about, patch_set, at, author=who, comment=message, approvals=votes)
        elif message.startswith("Restored"):
            yield at, 2, _event("change-restored", about, current, at, restorer=who)
    if end := _ENDS.get(text_of(record, "status") or ""):
        kind, role, words = end
        said = [row for row in children(record, "comments") if (text_of(row, "message") or "").startswith(words)]
        at = seconds_of(said[-1], "timestamp") if said else seconds_of(record, "lastUpdated")
        yield at, 3, _event(kind, about, current, at, **{role: said[-1].get("reviewer") if said else None})


def _event(kind: str, about: dict[str, Any], patch_set: Record, at: int, **more: object) -> dict[str, Any]:
    shown = {name: content for name, content in patch_set.items() if name not in ("approvals", "comments", "files")}
    given = {name: content for name, content in more.items() if content is not None}
    return {"type": kind, "change": about, "patchSet": shown, "eventCreatedOn": at, **given}


def _votes(patch_set: Record, who: Record, at: int) -> list[Record]:
    """The votes that were given with a comment: those of its author, of the same moment."""
    return [
        {name: content for name, content in vote.items() if name in ("type", "description", "value")}
        for vote in children(patch_set, "approvals")
        if text_of(child(vote, "by"), "username") == text_of(who, "username")
        and abs(seconds_of(vote, "grantedOn") - at) <= _APART
    ]


def _is_known(line: bytes, seen: list[Trigger]) -> bool:
    try:
        new = parse.trigger(line, "")
    except ParseError as error:
        log.warning("a missed event can not be told: %s", error)
        return True
    return any(_is_same(new, old) for old in seen)


def _is_same(new: Trigger, old: Trigger) -> bool:
    if (new.type, new.number, new.patchset) != (old.type, old.number, old.patchset):
        return False
    if new.type == "patchset-created":
        return True
    is_close = not old.created_on or abs(new.created_on - old.created_on) <= _APART
    return is_close and (new.comment, _username(new)) == (old.comment, _username(old))


def _username(trigger: Trigger) -> str:
    return trigger.account.username if trigger.account else ""
