"""Every input of the gate, past tense. An event carries everything that the decision needs, also the time."""

from msgspec import Struct, field

from zuul_launcher.model.change import Account, Approval, Subject
from zuul_launcher.model.queue import Worker


class Event(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    at: float  # epoch seconds, as the shell saw it
    blanked: tuple[str, ...] = ()  # in words: texts that are not as they came, since a pattern ran too long on them


class Trigger(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a Gerrit event says by itself (one line of stream-events)."""

    connection: str
    type: str
    project: str
    branch: str | None = None
    ref: str | None = None
    oldrev: str | None = None
    newrev: str | None = None
    number: str | None = None
    patchset: str | None = None
    comment: str | None = None
    account: Account | None = None  # who caused it
    approvals: tuple[Approval, ...] = ()  # given with it
    created_on: int = 0  # epoch seconds by Gerrit's clock; 0: an old Gerrit, which does not say


class LayoutLoaded(Event, frozen=True, kw_only=True):
    """The layout of this content hash was loaded and checked; it is handed to `step` with this event."""

    layout: str


class LayoutRefused(Event, frozen=True, kw_only=True):
    errors: tuple[str, ...]


class Triggered(Event, frozen=True, kw_only=True):
    """Gerrit sent an event, and this is what it is about."""

    trigger: Trigger
    subject: str  # key
    facts: tuple[Subject, ...]  # the subject, all it needs, all that need it, transitively


class TimerFired(Event, frozen=True, kw_only=True):
    """A timer of this pipeline came to its time."""

    pipeline: str


class SiblingsSeen(Event, frozen=True, kw_only=True):
    """A change landed, and these are the changes of its project that are open."""

    subjects: tuple[str, ...]  # keys
    facts: tuple[Subject, ...]  # those, and all tied to them


class FactsSeen(Event, frozen=True, kw_only=True):
    """Changes were asked for again (catch-up after a reconnect, a change landed): nothing is triggered."""

    facts: tuple[Subject, ...]


class Request(Event, frozen=True, kw_only=True):
    """Somebody asked for something over RPC; the answer goes to `request`."""

    request: str
    who: str = ""


class EnqueueRequested(Request, frozen=True, kw_only=True):
    pipeline: str
    project: str
    trigger: str
    name: str  # N,P or the ref, as it was asked for
    subject: str | None = None  # key; None: Gerrit does not know it
    facts: tuple[Subject, ...] = ()


class DequeueRequested(Request, frozen=True, kw_only=True):
    pipeline: str
    project: str
    name: str  # N,P or a ref


class PromoteRequested(Request, frozen=True, kw_only=True):
    pipeline: str
    changes: tuple[str, ...]  # N,P


class Merged(Event, frozen=True, kw_only=True):
    """The merger answered."""

    item: str
    attempt: int
    commit: str | None  # None: it could not be merged (or, for a ref, is not known)
    ok: bool
    zuul_url: str | None = None
    conflicts: tuple[str, ...] = ()  # files
    error: str | None = None


class BuildReply(Event, frozen=True, kw_only=True):
    """Something happened to a build. Stale ones (another attempt, another run) are ignored."""

    item: str
    attempt: int
    build: str  # uuid


class BuildQueued(BuildReply, frozen=True, kw_only=True):
    """The Gearman server took it."""

    handle: str


class WorkerData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker said about its build; None = did not say."""

    number: int | str | None = None
    manager: str | None = None
    url: str | None = None
    worker: Worker | None = None
    node_name: str | None = None
    node_labels: tuple[str, ...] | None = None


class BuildProgress(BuildReply, frozen=True, kw_only=True):
    data: WorkerData
    estimate: float | None = None  # seconds, from history


class BuildFinished(BuildReply, frozen=True, kw_only=True):
    result: str | None  # None: it ended without one, and is to be run again
    data: WorkerData = field(default_factory=WorkerData)
    reason: str | None = None  # what was wrong with the worker's answer, or why it could not be launched


class BuildLost(BuildReply, frozen=True, kw_only=True):
    """Nobody will ever tell how it ended: run again, without counting this try."""

    reason: str


class Reported(Event, frozen=True, kw_only=True):
    """All reporters of an action have answered."""

    item: str
    attempt: int
    verdict: str  # as in the Report action
    merged: bool = False  # Gerrit says MERGED
    errors: tuple[str, ...] = ()


class ItemRefused(Event, frozen=True, kw_only=True):
    """Events about this item can not be stepped, by a mistake of ours: it may not stand in the way of the others."""

    item: str
    reason: str


AnyEvent = (
    LayoutLoaded
    | LayoutRefused
    | Triggered
    | TimerFired
    | SiblingsSeen
    | FactsSeen
    | EnqueueRequested
    | DequeueRequested
    | PromoteRequested
    | Merged
    | BuildQueued
    | BuildProgress
    | BuildFinished
    | BuildLost
    | Reported
    | ItemRefused
)
