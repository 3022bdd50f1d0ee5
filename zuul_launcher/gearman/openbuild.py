"""One build that this process has to do with: what was asked for, and how far it is."""

import enum
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec import field as struct_field

from zuul_launcher.model.events import WorkerData
from zuul_launcher.model.layout import Precedence


class BuildRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A build to launch, to take up again or to cancel, as its row says. To cancel, the parameters may be left out."""

    item: str
    attempt: int
    build: str  # uuid
    job: str
    function: str
    parameters: dict[str, Any] = struct_field(default_factory=dict)
    precedence: Precedence = "normal"
    handle: str | None = None
    manager: str | None = None
    number: int | str | None = None
    resumed: bool = False  # it may have been submitted before: by an earlier process, or an earlier delivery


class Phase(enum.Enum):
    WAITING = "waiting"  # for a connection, an answer or a registration
    SUBMITTED = "submitted"  # on this connection


@dataclass(eq=False, slots=True)
class OpenBuild:
    request: BuildRequest
    submitted: bool  # at any time, on any connection
    phase: Phase = Phase.WAITING
    accepted: bool = False  # the server gave a handle on this connection
    handle: str | None = None
    data: WorkerData = field(default_factory=WorkerData)
    latest: bytes = b""  # data of the worker
    cancel: list[Future[None]] = field(default_factory=list)  # not empty: it is to end, and nobody wants its result
    withdrawing: bool = False  # it is being taken off the queue, as far as that goes
    withdrawn: bool = False  # `cancel job` was sent on this connection
    stopping: bool = False  # `stop:` was sent

    def __post_init__(self) -> None:
        self.handle = self.request.handle
        self.data = WorkerData(number=self.request.number, manager=self.request.manager)

    def disconnected(self) -> None:
        """What was said on the connection that broke does not hold on the next."""
        self.phase = Phase.WAITING
        self.accepted = self.withdrawing = self.withdrawn = self.stopping = False

    @property
    def can_be_stopped(self) -> bool:
        return self.data.number is not None and self.data.manager is not None
