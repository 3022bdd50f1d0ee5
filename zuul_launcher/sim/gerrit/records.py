"""Changes, patch sets and the like in the form in which Gerrit prints them as JSON. Pure.

Source: the output of Gerrit 3.10.2, and its documentation of `gerrit stream-events` and `gerrit query`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from zuul_launcher.sim.gerrit.dialect import Dialect
from zuul_launcher.sim.gerrit.model import (
    ALL_LABELS,
    Account,
    Change,
    PatchSet,
    Vote,
    is_submittable,
    label_states,
)

Json = dict[str, object]


@dataclass(frozen=True)
class Recorder:
    """Writes records of one site in one dialect."""

    base_url: str  # ends with "/"
    dialect: Dialect = field(default_factory=Dialect)

    def number(self, number: int) -> int | str:
        return str(number) if self.dialect.numbers_as_text else number

    def change(self, change: Change, *, commit_message: bool) -> Json:
        """What events and answers have in common; ends where they part (see `creation`)."""
        record: Json = {"project": change.project, "branch": change.branch}
        if change.topic:
            record["topic"] = change.topic
        record |= {
            "id": change.change_id,
            "number": self.number(change.number),
            "subject": change.subject,
            "owner": account(change.owner),
            "url": f"{self.base_url}c/{change.project}/+/{change.number}",
        }
        if commit_message:
            record["commitMessage"] = change.current.commit_message
        return record

    def change_in_event(self, change: Change) -> Json:
        record = self.change(change, commit_message=True)
        return record | {"createdOn": change.at, "status": change.status}

    def change_in_answer(self, change: Change, *, commit_message: bool) -> Json:
        record = self.change(change, commit_message=commit_message)
        record |= {"hashtags": [], "createdOn": change.at, "lastUpdated": change.updated}
        if self.dialect.sort_keys:
            record["sortKey"] = sort_key(change)
        return record | {"open": change.status == "NEW", "status": change.status}

    def patch_set(self, change: Change, patch_set: PatchSet, *, approvals: bool = False, files: bool = False) -> Json:
        record: Json = {
            "number": self.number(patch_set.number),
            "revision": patch_set.revision,
            "parents": patch_set.parents,
            "ref": change.ref(patch_set),
            "uploader": account(patch_set.uploader),
            "createdOn": patch_set.at,
            "author": account(patch_set.author),
            "kind": "REWORK",
        }
        if approvals and patch_set.votes:
            record["approvals"] = [approval(vote) for vote in patch_set.votes]
        if files:
            record["files"] = [
                {
                    "file": file.path,
                    **({"fileOld": file.old_path} if file.old_path else {}),
                    "type": file.kind,
                    "insertions": file.insertions,
                    "deletions": -file.deletions,
                }
                for file in patch_set.files
            ]
        record["sizeInsertions"] = sum(file.insertions for file in patch_set.files)
        record["sizeDeletions"] = sum(file.deletions for file in patch_set.files)
        return record

    def dependency(self, change: Change, patch_set: PatchSet) -> Json:
        return {
            "id": change.change_id,
            "number": self.number(change.number),
            "revision": patch_set.revision,
            "ref": change.ref(patch_set),
        }

    def dependencies(self, change: Change, others: Iterable[Change]) -> Json:
        """`dependsOn` and `neededBy` of the current patch set, from the parents of commits; empty ones are left out.

        Merged and abandoned changes are named too, and every patch set that fits.
        """
        depends_on: list[Json] = []
        needed_by: list[Json] = []
        for other in others:
            if (other.project, other.branch) != (change.project, change.branch) or other is change:
                continue
            for patch_set in other.patch_sets:
                if patch_set.revision in change.current.parents:
                    is_current = {"isCurrentPatchSet": patch_set is other.current}
                    depends_on.append(self.dependency(other, patch_set) | is_current)
                if change.current.revision in patch_set.parents:
                    needed_by.append(self.dependency(other, patch_set))
        return {name: rows for name, rows in (("dependsOn", depends_on), ("neededBy", needed_by)) if rows}


def account(who: Account) -> Json:
    record: Json = {"name": who.name, "email": who.email}
    return record | ({"username": who.username} if who.username else {})


def approval(vote: Vote) -> Json:
    described = {} if vote.label == "SUBM" else {"description": vote.label}
    return {
        "type": vote.label,
        **described,
        "value": str(vote.value),
        "grantedOn": vote.at,
        "by": account(vote.by),
    }


def comments(change: Change) -> list[Json]:
    return [
        {"timestamp": message.at, "reviewer": account(message.by), "message": message.text}
        for message in change.messages
    ]


def submit_records(change: Change) -> list[Json]:
    labels: list[Json] = [
        {"label": state.label, "status": state.status, **({"by": account(state.by)} if state.by else {})}
        for state in label_states(change.current, ALL_LABELS)
    ]
    return [{"status": "OK" if is_submittable(change.current) else "NOT_READY", "labels": labels}]


def sort_key(change: Change) -> str:
    """Falls along the answer, which starts with what was touched last."""
    return f"{change.touched:08x}{change.number:08x}"
