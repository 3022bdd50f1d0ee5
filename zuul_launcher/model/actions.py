"""Every output of the gate, imperative, by ids only. What each needs in the world (parameters, texts) is worked out
from the state in the same transaction, by `service/payload`."""

from typing import Literal

from msgspec import Struct

Verdict = Literal["start", "success", "failure", "merge-failure", "dependency-failure"]


class Action(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    pass


class Merge(Action, frozen=True, kw_only=True):
    """Prepare the commit that is to be tested: all items ahead, then this one (a ref: update the repository)."""

    item: str
    attempt: int


class Launch(Action, frozen=True, kw_only=True):
    item: str
    attempt: int
    job: str
    build: str  # uuid


class Cancel(Action, frozen=True, kw_only=True):
    """End a build, wherever it is. Its late replies are ignored."""

    item: str
    attempt: int
    build: str  # uuid


class Describe(Action, frozen=True, kw_only=True):
    """Tell the workers of this build set what became of it."""

    item: str
    attempt: int
    verdict: str | None = None  # what is going to be reported


class Report(Action, frozen=True, kw_only=True):
    item: str
    attempt: int
    verdict: Verdict
    disabled: bool = False  # to the `disabled` reporters instead
    submit: bool = False  # landing is expected: answer when Gerrit has said whether it merged


class FetchSiblings(Action, frozen=True, kw_only=True):
    """A change landed: ask for the open changes of its project, some pipeline wants to hear of them."""

    item: str  # the one that landed
    connection: str
    project: str


class Answer(Action, frozen=True, kw_only=True):
    """Reply to whoever sent this request. error None = done; the note says what a person may wonder about."""

    request: str
    error: str | None = None
    note: str | None = None


class Close(Action, frozen=True, kw_only=True):
    """Write down that this item has left its queue, and why."""

    item: str
    attempt: int
    reason: str


class Ignore(Action, frozen=True, kw_only=True):
    """Write down that this subject was not let into a pipeline although it was asked for, and why."""

    subject: str
    pipeline: str
    reason: str


AnyAction = Merge | Launch | Cancel | Describe | Report | FetchSiblings | Answer | Close | Ignore
