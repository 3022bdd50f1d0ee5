"""What the pages are drawn from, as plain data: whoever wires a manager together hands in a `View`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct

from zuul_launcher.worker.parts import History


class BuildView(Struct, frozen=True, kw_only=True):
    """A build that has not ended, and what it does now."""

    job: str
    number: int
    node: str
    state: Literal["queued", "running", "aborting"] = "running"
    step: str = ""  # for people: "step 2 of 3: lint"


class NodeView(Struct, frozen=True, kw_only=True):
    """A node as it stands now."""

    name: str
    labels: tuple[str, ...] = ()
    executors: int = 1
    busy: int = 0  # executors that run a build
    state: str = "online"  # or offline, disconnected, ...: one word
    reason: str = ""  # why it is not online
    exclusive: bool = False


class View(Protocol):
    """Asked at each request, from several threads. All may be out of date by a moment."""

    @property
    def manager(self) -> str:
        """Its name, as in `stop:NAME`."""

    @property
    def root_url(self) -> str | None:
        """Where people reach the pages: `https://ci.example.net/`."""

    @property
    def history(self) -> History: ...

    @property
    def folder(self) -> Path:
        """Of all builds, STATE_DIR/worker/builds."""

    def running(self) -> Sequence[BuildView]: ...

    def nodes(self) -> Sequence[NodeView]: ...

    def description(self, job: str) -> str:
        """What its definition says of it; empty: nothing, or no job of this name is defined."""

    def functions(self) -> Mapping[str, Sequence[str]]:
        """Client id -> names of the functions that it offers."""

    def health(self) -> Mapping[str, Any]:
        """JSON; `status` is "ok", or the word for what is wrong."""
