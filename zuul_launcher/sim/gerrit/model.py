"""Nouns of the stand-in and what follows from them without I/O: votes, submit records, who may do what.

Source of every rule: what a Gerrit 3.10.2 does; tests/contract runs the same body on both.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from zuul_launcher.errors import RemoteRefused
from zuul_launcher.sim.gerrit.site import APPROVED, LABELS, PEOPLE, email_of

Status = Literal["NEW", "MERGED", "ABANDONED"]
ALL_LABELS = {**LABELS, **APPROVED}
PRIVILEGED = ("admin", "zuul")  # submit, vote Verified, abandon any change, watch events


class Refused(RemoteRefused):
    """Gerrit would say no; the text is Gerrit's."""


@dataclass(frozen=True)
class Account:
    """Somebody who is registered, or the author of a commit who is not: then `username` is ""."""

    username: str
    name: str
    email: str


@dataclass(frozen=True)
class Vote:
    label: str  # "SUBM" marks who submitted
    value: int
    by: Account
    at: int


@dataclass(frozen=True)
class Message:
    by: Account
    at: int
    text: str


@dataclass(frozen=True)
class FileChange:
    """`kind` as Gerrit spells it: ADDED, MODIFIED, DELETED, RENAMED, COPIED, REWRITE."""

    path: str
    kind: str
    insertions: int
    deletions: int
    old_path: str = ""


@dataclass
class PatchSet:
    number: int
    revision: str
    parents: list[str]
    uploader: Account
    author: Account
    at: int
    commit_message: str
    files: list[FileChange]  # the commit message first, as Gerrit counts it
    votes: list[Vote] = field(default_factory=list)

    def cast(self, label: str, username: str) -> int:
        """The vote of a person on a label; 0 if there is none."""
        return next((vote.value for vote in self.votes if (vote.label, vote.by.username) == (label, username)), 0)


@dataclass
class Change:
    project: str
    branch: str
    number: int
    change_id: str
    topic: str
    owner: Account
    at: int
    updated: int = 0
    touched: int = 0  # grows with every update of any change: the order of answers
    status: Status = "NEW"
    patch_sets: list[PatchSet] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @property
    def current(self) -> PatchSet:
        return self.patch_sets[-1]

    @property
    def subject(self) -> str:
        return self.current.commit_message.split("\n", 1)[0]

    def ref(self, patch_set: PatchSet) -> str:
        return f"refs/changes/{self.number % 100:02}/{self.number}/{patch_set.number}"


def people() -> dict[str, Account]:
    """The registered accounts."""
    return {username: Account(username, name, email_of(username)) for username, name in PEOPLE.items()}


@dataclass(frozen=True)
class LabelState:
    """What one label says about submitting: OK, NEED, REJECT, or MAY for one that submitting does not need."""

    label: str
    status: str
    by: Account | None = None


def label_states(patch_set: PatchSet, labels: Iterable[str]) -> list[LabelState]:
    """A required label needs its highest vote and no lowest one."""
    states = []
    for label in labels:
        lowest, highest = ALL_LABELS[label]
        high = next((vote.by for vote in patch_set.votes if (vote.label, vote.value) == (label, highest)), None)
        low = next((vote.by for vote in patch_set.votes if (vote.label, vote.value) == (label, lowest)), None)
        if label in APPROVED:
            states.append(LabelState(label, "MAY", high))
        elif low is not None:
            states.append(LabelState(label, "REJECT", low))
        elif high is not None:
            states.append(LabelState(label, "OK", high))
        else:
            states.append(LabelState(label, "NEED"))
    return states


def is_submittable(patch_set: PatchSet) -> bool:
    return all(state.status in ("OK", "MAY") for state in label_states(patch_set, ALL_LABELS))


def label_named(text: str) -> str | None:
    """The label that is meant, in any case; None if there is no such label."""
    return next((label for label in ALL_LABELS if label.lower() == text.lower()), None)


def check_vote(change: Change, patch_set: PatchSet, label: str, value: int, voter: Account) -> None:
    """Raises Refused if the voter may not cast this vote. Votes on older patch sets are taken, and count only there."""
    before = patch_set.cast(label, voter.username)
    if value == before:
        return
    if label == "Verified" and value != 0 and voter.username not in PRIVILEGED:
        raise Refused(f'Applying label "{label}": {value} is restricted')
    if change.status == "ABANDONED":
        raise Refused("change is closed")
    if change.status == "MERGED" and value < before:
        raise Refused(f"Cannot reduce vote on labels for closed change: {label}")


def cast_vote(patch_set: PatchSet, vote: Vote) -> None:
    """Replaces the voter's vote on the label; 0 takes it away."""
    patch_set.votes = [old for old in patch_set.votes if (old.label, old.by) != (vote.label, vote.by)]
    if vote.value:
        patch_set.votes.append(vote)


def carry_votes(old: PatchSet, new: PatchSet) -> str:
    """Copies the votes that survive a new patch set (Code-Review at its lowest), and says what became of each."""
    told = {"Copied": "", "Outdated": ""}
    for vote in old.votes:
        survives = vote.label == "Code-Review" and vote.value == ALL_LABELS["Code-Review"][0]
        if survives:
            new.votes.append(vote)
        told["Copied" if survives else "Outdated"] += f"* {vote.label}{vote.value:+d}\n"
    return "".join(f"\n\n{fate} Votes:\n{lines}" for fate, lines in told.items() if lines)
