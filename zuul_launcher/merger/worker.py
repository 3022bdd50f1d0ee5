"""The merger process: a Gearman worker for merger:merge and merger:update, one job at a time.

The reply tells a conflict, and what would fail again, from success. What may be better later (a server that is away, a
full disk) is a WORK_EXCEPTION with one line of text: the scheduler asks again, and another merger may take it.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gear
import msgspec

from zuul_launcher.errors import RemoteRefused, RequestError, ZuulLauncherError
from zuul_launcher.git import one_line
from zuul_launcher.merger.expire import sweep
from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.request import MergeReply, UpdateReply, decode_merge, decode_update
from zuul_launcher.merger.settings import MergerSettings

log = logging.getLogger(__name__)

MERGE, UPDATE = "merger:merge", "merger:update"
_DAY, _HOUR = 86400.0, 3600.0
_LONGEST_DELAY = 30.0  # seconds between tries to reach the Gearman server
_UPKEEP_BUDGET = 1.0  # seconds between two jobs


class UnknownFunction(RequestError):
    """A job for a function that a merger does not have."""


def answer(merger: Merger, function: str, arguments: bytes) -> bytes:
    """The reply to a job, as JSON.

    :raises UnknownFunction: not a function of a merger.
    :raises ZuulLauncherError: it did not work for now.
    """
    url = merger.settings.zuul_url
    try:
        if function == MERGE:
            return msgspec.json.encode(merger.merge(decode_merge(arguments)))
        if function == UPDATE:
            return msgspec.json.encode(merger.update(decode_update(arguments)))
    except (RequestError, RemoteRefused) as error:
        log.warning("%s refused: %s", function, error)
        text = str(error)
        if function == MERGE:
            return msgspec.json.encode(MergeReply(merged=False, zuul_url=url, error=text))
        return msgspec.json.encode(UpdateReply(updated=False, zuul_url=url, error=text))
    raise UnknownFunction(f"a merger has no function {function!a}")


@dataclass
class Upkeep:
    """Sweeps the repositories in turn, each at most once an hour, for about a second between two jobs."""

    merger: Merger
    clock: Callable[[], float] = time.time
    swept: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.swept |= {project: 0.0 for project, _ in self.merger.place.repositories()}

    def run(self) -> None:
        """Sweep what is due, the longest waiting first, until the time is used up."""
        now = self.clock()
        give_up = time.monotonic() + _UPKEEP_BUDGET
        for project in self.merger.repositories:
            self.swept.setdefault(project, 0.0)
        for project in sorted(self.swept, key=lambda project: self.swept[project]):
            if now - self.swept[project] < _HOUR or time.monotonic() > give_up:
                break
            self.swept[project] = now
            self._sweep(project, now)

    def _sweep(self, project: str, now: float) -> None:
        git_dir: Path | None = self.merger.place.find(project)
        if git_dir is None:
            return
        try:
            expired = sweep(git_dir, self.merger.git, now, self.merger.settings.ref_expiry * _DAY)
        except (ZuulLauncherError, OSError) as error:
            log.warning("Upkeep of %s failed: %s", project, error)
        else:
            if expired:
                log.info("Removed %d merged states of %s", len(expired), project)


class _GearmanWorker(gear.Worker):  # type: ignore[misc]  # gear has no types
    """gear's worker, without delay for small packets and with growing delays while the server is away."""

    def __init__(self, client_id: str) -> None:
        self._closing = threading.Event()
        self._delay = 0.0
        super().__init__(client_id)

    def _onConnect(self, connection: Any) -> None:
        connection.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._delay:
            log.info("The Gearman server %s:%s is back", connection.host, connection.port)
        self._delay = 0.0
        super()._onConnect(connection)

    def _connectLoop(self) -> bool:
        reached = bool(super()._connectLoop())
        if not reached and self.inactive_connections:
            if not self._delay:
                server = self.inactive_connections[0]
                log.warning("The Gearman server %s:%s does not answer; waiting for it", server.host, server.port)
            self._delay = min(2 * self._delay + 0.5, _LONGEST_DELAY)
            self._closing.wait(self._delay)
        return reached

    def shutdown(self) -> None:
        self._closing.set()
        super().shutdown()


class MergerWorker:
    """Takes merge jobs from a Gearman server until it is stopped.

    :raises ConfigurationError: GIT_DIR cannot be had.
    """

    def __init__(self, settings: MergerSettings) -> None:
        self.settings = settings
        self._merger = Merger(settings)
        self._upkeep = Upkeep(self._merger)
        self._stopping = threading.Event()
        self._gearman = _GearmanWorker("Zuul Merger")
        self._gearman.addServer(settings.gearman_server, settings.gearman_port, keepalive=True, tcp_keepidle=60)
        for function in (MERGE, UPDATE):
            self._gearman.registerFunction(function)
        self._thread = threading.Thread(name="merger", target=self._take_jobs)

    def start(self) -> None:
        """Begin to take jobs, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the job at hand, then leave."""
        self._stopping.set()
        while self._thread.is_alive():
            self._gearman.stopWaitingForJobs()
            self._thread.join(0.1)
        self._gearman.shutdown()
        self._merger.close()

    def _take_jobs(self) -> None:
        while not self._stopping.is_set():
            try:
                job = self._gearman.getJob()
            except gear.InterruptedError:
                continue
            try:
                self._do(job)
                self._upkeep.run()
            except Exception:
                # The server is gone, or something nobody thought of: the next job may fare better.
                log.exception("After job %s", job.handle)

    def _do(self, job: Any) -> None:
        try:
            reply = answer(self._merger, job.name, job.arguments)
        except UnknownFunction as error:
            log.warning("Refused: %s", error)
            job.sendWorkFail()
        except ZuulLauncherError as error:
            log.warning("%s did not work for now: %s", job.name, error)
            job.sendWorkException(str(error).encode("utf-8", "replace"))
        except Exception as error:
            log.exception("%s failed", job.name)
            job.sendWorkException(one_line(f"{type(error).__name__}: {error}").encode("utf-8", "replace"))
        else:
            job.sendWorkComplete(reply)
