"""Reads what Gerrit prints: lines of `stream-events` and rows of `query`. Pure; every number becomes text.

Nothing in it is trusted: bytes that are not UTF-8, lone surrogates and NUL become U+FFFD, what lacks a needed field
is refused with a `ParseError`. Source: Gerrit's pages "stream-events" and "JSON data", versions 2.4 to 3.10.
"""

import re
from collections.abc import Sequence

from zuul_launcher.gerrit.record import (
    ParseError,
    Record,
    account_of,
    child,
    children,
    load,
    number_of,
    seconds_of,
    text_of,
)
from zuul_launcher.model.change import Account, Approval, Change, Ref, SubmitRecord
from zuul_launcher.model.events import Trigger

# Event type -> the field that names the account which caused it.
ACCOUNT_FIELDS = {
    "patchset-created": "uploader",
    "draft-published": "uploader",
    "change-abandoned": "abandoner",
    "change-restored": "restorer",
    "change-merged": "submitter",
    "merge-failed": "submitter",
    "ref-updated": "submitter",
    "comment-added": "author",
    "reviewer-added": "reviewer",
}
# Without a change and a patch set these mean nothing.
_OF_A_PATCH_SET = {
    "patchset-created",
    "draft-published",
    "change-abandoned",
    "change-restored",
    "change-merged",
    "comment-added",
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_CHANGE_REF = re.compile(r"refs/changes/[0-9]{2}/([1-9][0-9]{0,17})/([1-9][0-9]{0,17})")
_FOOTER = re.compile(r"^Depends-On: (I[0-9a-f]{40})[ \t\r]*$", re.MULTILINE | re.IGNORECASE)


def trigger(line: bytes, connection: str, *, strip_branch_ref: bool = False) -> Trigger:
    """Reads one line of `stream-events`. Raises ParseError: the line is to be counted and skipped."""
    event = load(line)
    kind = text_of(event, "type")
    if not kind:
        raise ParseError("event without a type")
    about, patch_set, update = child(event, "change"), child(event, "patchSet"), child(event, "refUpdate")
    number = number_of(about, "number")
    patchset = number_of(patch_set, "number")
    if kind in _OF_A_PATCH_SET and not (number and patchset and text_of(about, "project") and text_of(about, "branch")):
        raise ParseError(f"{kind} without a change or patch set")
    revisions = {name: text_of(update, name) for name in ("oldRev", "newRev", "refName", "project")}
    if kind == "ref-updated" and not all(revisions.values()):
        raise ParseError("ref-updated without project, ref or revisions")
    ref = revisions["refName"]
    if ref and strip_branch_ref:
        ref = ref.removeprefix("refs/heads/")
    return Trigger(
        connection=connection,
        type=kind,
        project=text_of(about, "project") or revisions["project"] or "",
        branch=text_of(about, "branch"),
        ref=ref,
        oldrev=revisions["oldRev"],
        newrev=revisions["newRev"],
        number=number,
        patchset=patchset,
        comment=text_of(event, "comment"),
        account=account_of(event.get(ACCOUNT_FIELDS.get(kind, ""))),
        approvals=_approvals(event),
        created_on=seconds_of(event, "eventCreatedOn"),
    )


def change(
    record: Record,
    connection: str,
    patchset: str | None = None,
    *,
    needs: Sequence[str] = (),
    needed_by: Sequence[str] = (),
) -> Change:
    """Reads one row of a query as the given patch set of its change (None: the current one).

    Approvals are those of the current patch set, files and ref those of the given one. `needs` and `needed_by` are
    keys that take more than this row. Raises ParseError, also if the change has no such patch set.
    """
    number, project, branch = number_of(record, "number"), text_of(record, "project"), text_of(record, "branch")
    current = current_patchset(record)
    if not (number and project and branch and current):
        raise ParseError("a change without number, project, branch or patch set")
    wanted = patchset or current
    patch_set = _patch_set(record, wanted)
    ref = text_of(patch_set, "ref")
    if not ref:
        raise ParseError(f"change {number} has no patch set {wanted}")
    status = text_of(record, "status") or "NEW"
    return Change(
        connection=connection,
        project=project,
        branch=branch,
        number=number,
        patchset=wanted,
        ref=ref,
        url=text_of(record, "url") or "",
        owner=account_of(record.get("owner")),
        status=status,
        open=is_open(record),
        current=wanted == current,
        approvals=_approvals(_patch_set(record, current)),
        files=tuple(name for row in children(patch_set, "files") if (name := text_of(row, "file"))),
        submit_records=_submit_records(record),
        needs=tuple(needs),
        needed_by=tuple(needed_by),
    )


def ref(trigger: Trigger, base_url: str) -> Ref | None:
    """The ref that an event updated. None: it updated none."""
    if not (trigger.ref and trigger.oldrev and trigger.newrev):
        return None
    url = f"{base_url}/gitweb?p={trigger.project}.git;a=commitdiff;h={trigger.newrev}" if base_url else ""
    return Ref(
        connection=trigger.connection,
        project=trigger.project,
        ref=trigger.ref,
        oldrev=trigger.oldrev,
        newrev=trigger.newrev,
        url=url,
    )


def footers(message: str) -> tuple[str, ...]:
    """The distinct Change-Ids of the `Depends-On` lines of a commit message, in their order."""
    return tuple(dict.fromkeys("I" + found[1:].lower() for found in _FOOTER.findall(message)))


def current_patchset(record: Record) -> str | None:
    """The highest patch set number of a row. None: the row does not say."""
    rows = [*children(record, "patchSets"), child(record, "currentPatchSet")]
    return max((found for row in rows if (found := number_of(row, "number"))), key=int, default=None)


def git_parent(record: Record) -> tuple[str, str] | None:
    """Number and patch set of the change that this one is stacked on: the first of `dependsOn`."""
    rows = children(record, "dependsOn")
    return _linked(rows[0]) if rows else None


def git_children(record: Record) -> tuple[tuple[str, str], ...]:
    """Number and patch set of the changes that are stacked on this one: `neededBy`."""
    return tuple(found for row in children(record, "neededBy") if (found := _linked(row)))


def is_open(record: Record) -> bool:
    """Rows say so themselves; without the field the status decides."""
    said = record.get("open")
    return said if isinstance(said, bool) else (text_of(record, "status") or "NEW") not in ("MERGED", "ABANDONED")


def label_names(record: Record) -> tuple[str, ...]:
    """Labels as Gerrit spells them, as far as a row names any."""
    names = [label for entry in _submit_records(record) for label in entry.labels]
    names += [approval.label for row in children(record, "patchSets") for approval in _approvals(row)]
    return tuple(dict.fromkeys(names))


def _linked(row: Record) -> tuple[str, str] | None:
    """`dependsOn` and `neededBy` tell the patch set by its ref only."""
    found = _CHANGE_REF.fullmatch(text_of(row, "ref") or "")
    return (found[1], found[2]) if found else None


def _patch_set(record: Record, number: str) -> Record:
    rows = [*children(record, "patchSets"), child(record, "currentPatchSet")]
    return next((row for row in rows if number_of(row, "number") == number), {})


def _submit_records(record: Record) -> tuple[SubmitRecord, ...]:
    return tuple(
        SubmitRecord(
            status=text_of(row, "status") or "",
            labels=_label_states(row),
        )
        for row in children(record, "submitRecords")
    )


def _approvals(holder: Record) -> tuple[Approval, ...]:
    found = []
    for row in children(holder, "approvals"):
        label, value = text_of(row, "description") or text_of(row, "type"), text_of(row, "value")
        if label and value and _INTEGER.fullmatch(value):
            by = account_of(row.get("by")) or Account()
            found.append(Approval(label=label, value=int(value), by=by, granted_on=seconds_of(row, "grantedOn")))
    return tuple(found)


def _label_states(submit_record: Record) -> dict[str, str]:
    entries = children(submit_record, "labels")
    return {name: text_of(entry, "status") or "" for entry in entries if (name := text_of(entry, "label"))}
