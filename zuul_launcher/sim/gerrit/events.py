"""The events that Gerrit sends, as JSON objects. Pure; see `records` for the source."""

import hashlib
from collections.abc import Mapping

from zuul_launcher.sim.gerrit.git import ZEROS
from zuul_launcher.sim.gerrit.model import ALL_LABELS, Account, Change, PatchSet
from zuul_launcher.sim.gerrit.records import Json, Recorder, account


def about(recorder: Recorder, change: Change, patch_set: PatchSet | None, kind: str, at: int, **first: object) -> Json:
    """An event about a change, in Gerrit's order of fields."""
    record: Json = dict(first)
    if patch_set is not None:
        record["patchSet"] = recorder.patch_set(change, patch_set)
    return record | {
        "change": recorder.change_in_event(change),
        "project": change.project,
        "refName": f"refs/heads/{change.branch}",
        "changeKey": {"id": change.change_id},
        "type": kind,
        "eventCreatedOn": at,
    }


def patchset_created(recorder: Recorder, change: Change, at: int) -> Json:
    uploader = account(change.current.uploader)
    return about(recorder, change, change.current, "patchset-created", at, uploader=uploader)


def topic_changed(recorder: Recorder, change: Change, who: Account, old: str, at: int) -> Json:
    return about(recorder, change, None, "topic-changed", at, changer=account(who), oldTopic=old)


def comment_added(
    recorder: Recorder,
    change: Change,
    patch_set: PatchSet,
    who: Account,
    comment: str,
    before: Mapping[str, int] | None,
    at: int,
) -> Json:
    """`before`: the person's former votes on the labels that this comment changed; None says nothing of votes.

    The event tells of the person's votes on all labels; one that changed has `oldValue`.
    """
    if before is None:
        return about(recorder, change, patch_set, "comment-added", at, author=account(who), comment=comment)
    approvals = [
        {
            "type": label,
            "description": label,
            "value": str(patch_set.cast(label, who.username)),
            **({"oldValue": str(before[label])} if label in before else {}),
        }
        for label in ALL_LABELS
    ]
    return about(
        recorder,
        change,
        patch_set,
        "comment-added",
        at,
        author=account(who),
        approvals=approvals,
        comment=comment,
    )


def change_abandoned(recorder: Recorder, change: Change, who: Account, reason: str, at: int) -> Json:
    return about(recorder, change, change.current, "change-abandoned", at, abandoner=account(who), reason=reason)


def change_restored(recorder: Recorder, change: Change, who: Account, reason: str, at: int) -> Json:
    said = {"reason": reason} if reason else {}
    return about(recorder, change, change.current, "change-restored", at, restorer=account(who), **said)


def change_merged(recorder: Recorder, change: Change, who: Account, new_revision: str, at: int) -> Json:
    first = {"submitter": account(who), "newRev": new_revision}
    return about(recorder, change, change.current, "change-merged", at, **first)


def ref_updated(recorder: Recorder, project: str, ref: str, old: str, new: str, who: Account, at: int) -> Json:
    """`ref` in full; `old` or `new` is zeros where there was or is none."""
    name = ref.removeprefix("refs/heads/") if recorder.dialect.short_ref_names else ref
    update = {"oldRev": old, "newRev": new, "refName": name, "project": project}
    return {"submitter": account(who), "refUpdate": update, "type": "ref-updated", "eventCreatedOn": at}


def meta_updated(recorder: Recorder, change: Change, who: Account, at: int) -> Json:
    """Gerrit keeps what it knows of a change in a ref and tells of each update; here one a message, and made up."""
    ref = f"refs/changes/{change.number % 100:02}/{change.number}/meta"
    step = len(change.messages)
    old = _made_up(change, step - 1) if step > 1 else ZEROS
    return ref_updated(recorder, change.project, ref, old, _made_up(change, step), who, at)


def _made_up(change: Change, step: int) -> str:
    return hashlib.sha1(f"{change.number} {step}".encode(), usedforsecurity=False).hexdigest()


def project_created(project: str, at: int) -> Json:
    return {"projectName": project, "headName": "refs/heads/master", "type": "project-created", "eventCreatedOn": at}
