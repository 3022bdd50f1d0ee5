"""The two nouns of the queue: a job, and a peer (one connection, which may be client and worker at once)."""

import enum
from dataclasses import dataclass, field

from zuul_launcher.gearman.server.packets import Command


class Priority(enum.IntEnum):
    """Strict: no job of a lower priority is handed out while the worker can do one of a higher."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class JobState(enum.Enum):
    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client asks for."""

    function: bytes
    unique: bytes
    payload: bytes
    priority: Priority = Priority.NORMAL
    background: bool = False

    @property
    def identity(self) -> bytes:
        """What makes two submissions of one function the same job; empty if nothing does.

        The unique "-" means, as in gearmand, "the same payload". A NUL cannot be in a unique, so the two never meet.
        """
        return b"-\0" + self.payload if self.unique == b"-" else self.unique


@dataclass(eq=False, slots=True)
class Peer:
    """One connection, as the queue sees it."""

    address: str
    descriptor: int
    client_id: str = "-"
    functions: dict[bytes, float] = field(default_factory=dict)  # name -> seconds a job may take, 0 for any
    asleep: bool = False
    woken_for: "Job | None" = None  # it got a NOOP because of this job and has not grabbed since
    running: dict[bytes, "Job"] = field(default_factory=dict)  # as worker, by handle
    watching: dict[bytes, "Job"] = field(default_factory=dict)  # as client, by handle
    hearing: dict[bytes, "Job"] = field(default_factory=dict)  # as client: those whose end was sent just now

    def __str__(self) -> str:
        return f"{self.client_id}@{self.address}#{self.descriptor}"


@dataclass(eq=False, slots=True)
class Job:
    """One job from its first submission until it is forgotten."""

    handle: bytes
    function: bytes
    unique: bytes
    identity: bytes
    payload: bytes
    priority: Priority
    sequence: int
    background: bool  # somebody submitted it without waiting for it: it is kept although nobody watches
    state: JobState = JobState.QUEUED
    clients: dict[Peer, None] = field(default_factory=dict)  # in the order in which they came
    worker: Peer | None = None
    woken: Peer | None = None  # the worker that was woken for it
    progress: bytes | None = None  # of the latest WORK_STATUS: numerator NUL denominator
    latest_data: bytes | None = None  # of the latest WORK_DATA
    result: tuple[Command, bytes] | None = None  # command and data, of an ended job that is kept for its client
    deadline: float = 0.0  # when it is dropped, failed or forgotten; any other timer of it is outdated
    rewake: float = 0.0  # when another worker is woken for it; the same

    @property
    def collectable(self) -> bool:
        """Whether a client that lost its connection can come back for it: only by function and unique."""
        return bool(self.identity) and not self.background

    def __str__(self) -> str:
        return f"{self.handle.decode(errors='replace')} ({self.function.decode(errors='replace')})"
