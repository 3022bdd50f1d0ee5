"""What the rooms of the worker hand to each other: nouns and protocols, nothing that does anything.

queue -> builds    Assignment, Slot, Delivery: run this here, and tell it there
builds -> history  numbers, results, descriptions
builds -> nodes    a channel to where the steps run
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from zuul_launcher.errors import ZuulLauncherError
from zuul_launcher.remoting import Channel
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.worker.definitions.job import NodeDefinition

# What `stop:` met: still waiting, being ended now (or already before), over.
StopState = Literal["queued", "aborting", "finished"]


class UnknownBuild(ZuulLauncherError):
    """No build of this name and number is known; the text is for the client."""


class NodeLost(ZuulLauncherError):
    """The node cannot be reached, or its agent went away; the text says why. A build that meets it has no result."""


class Assignment(Struct, frozen=True, kw_only=True):
    """What one JOB_ASSIGN_UNIQ says, and to whom."""

    job: str  # P of `build:P` or `build:P:LABEL`
    label: str = ""
    unique: str  # the client's id of this build; empty: it gave none
    payload: bytes
    worker: str  # client id of the executor's connection: `NODE_exec-I`
    node: str


class Slot(Protocol):
    """A reserved executor of a node."""

    @property
    def index(self) -> int:
        """EXECUTOR_NUMBER, from 0."""

    def keep_others_out(self) -> None:
        """Until the release the node takes no other build, whatever is free (OFFLINE_NODE_WHEN_COMPLETE, A4).

        Of the thread that `assigned` is called on only: before it returns no other executor asks for a job."""

    def release(self) -> None:
        """It is free again: the node may take another build. Harmless twice, from any thread."""


class Delivery(Protocol):
    """Where the news of one build go: the connection that it was assigned on.

    From any thread; each returns at once and keeps the order of the calls. When that connection is gone they do
    nothing: a later connection is never told (worker-and-remoting A13).
    """

    @property
    def is_connected(self) -> bool: ...

    def data(self, data: bytes) -> None:
        """WORK_DATA."""

    def status(self, numerator: int, denominator: int) -> None:
        """WORK_STATUS."""

    def complete(self, data: bytes) -> None:
        """WORK_DATA, then WORK_COMPLETE with the same bytes. The last of a delivery, as the next two are."""

    def fail(self) -> None:
        """WORK_FAIL: it never ran."""

    def exception(self, text: str) -> None:
        """WORK_EXCEPTION: it never ran, and why."""


class Node(Protocol):
    """A machine, as builds see it."""

    @property
    def definition(self) -> NodeDefinition: ...

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> frozenset[str]:
        """Its own name among them."""

    @property
    def is_built_in(self) -> bool: ...

    def channel(self) -> Channel:
        """Connects if need be, which may take a while. Raises NodeLost."""

    def root(self) -> FilePath:
        """The folder of its workspaces, made if need be. Raises NodeLost."""

    def take_offline(self, reason: str) -> None:
        """It takes no more builds, also after a restart, until it is brought online; running ones go on. Returns when
        its functions have been taken back."""


class BuildRecord(Struct, frozen=True, kw_only=True):
    """A build as it is remembered."""

    job: str
    number: int
    unique: str
    node: str
    worker: str
    started_at: float  # Unix time
    finished_at: float | None = None  # None: it is running, or its manager was killed
    result: str | None = None
    description: str = ""  # HTML as it was sent: sanitised where it is shown
    parameters: Mapping[str, Any] = {}
    final: bytes = b""  # data of its last packets
    tests: Mapping[str, Any] | None = None  # summary of its JUnit reports, as plain data
    estimated: int | None = None  # milliseconds


class History(Protocol):
    """The manager's memory. Each call is one transaction, done when it returns."""

    def begin(self, record: BuildRecord) -> BuildRecord:
        """Store a build that starts; its `number` (0 in the record given) and `estimated` are filled in.

        The number is the next one of its job, never used before, whatever was deleted or killed meanwhile."""

    def finish(self, record: BuildRecord) -> None:
        """Store its end: finished_at, result, final, tests."""

    def describe(self, job: str, number: int, html: str) -> None:
        """Raises UnknownBuild."""

    def find(self, job: str, number: int) -> BuildRecord | None: ...

    def find_unique(self, unique: str, since: float) -> BuildRecord | None:
        """The newest build with this id that finished after `since` (Unix time)."""

    def recent(self, job: str | None = None, limit: int = 100, before: float | None = None) -> Sequence[BuildRecord]:
        """Newest first."""
