"""Ending a build wherever it is: off the server's queue, or by `stop:` at the worker that runs it.

Rules
1. Once the worker said number and manager (0 is a number), `stop:` goes there, with high priority.
2. Before, the job is taken off the queue. OK means that it was queued, but not on gearmand, which also says OK (and
   FAIL to us) of a running one: there the state is asked first, and after the OK we go on listening for a number for
   a while.
3. Whoever waits is told after that while; the build stays open without being posted, and is stopped if its number
   comes later.
"""

import json
from collections.abc import Callable
from functools import partial
from uuid import uuid4

from zuul_launcher.gearman.client import Client, JobStatus, Kind, Receive, ServerKind, Submission, Word
from zuul_launcher.gearman.openbuild import OpenBuild

NUMBER_SECONDS = 2.0  # that a worker may take to say a build's number


class Cancels:
    """All methods run on the client's thread. `drop` ends the build's being open."""

    def __init__(self, client: Client, drop: Callable[[OpenBuild], bool]) -> None:
        self._client = client
        self._drop = drop

    def pursue(self, build: OpenBuild) -> None:
        """Do the next thing that can be done; called whenever more is known."""
        if build.can_be_stopped:
            if not build.stopping:
                build.stopping = True
                self.send_stop(build, partial(self._stop_answered, build))
        elif build.accepted and build.handle is not None and not build.withdrawing:
            build.withdrawing = True
            if self._client.kind is ServerKind.JOINING:
                self._client.ask_status(build.handle, partial(self._asked, build))
            else:
                self._withdraw(build, build.handle)

    def send_stop(self, build: OpenBuild, receive: Receive) -> None:
        payload = json.dumps({"name": build.request.job, "number": build.data.number}).encode()
        self._client.submit(Submission(f"stop:{build.data.manager}", payload, uuid4().hex, "high"), receive)

    def may_still_run(self, build: OpenBuild, word: Word) -> bool:
        """Is this end not the end? gearmand's FAIL upon `cancel job` says nothing about the worker."""
        return word.kind is Kind.FAIL and build.withdrawn and self._client.kind is ServerKind.JOINING

    def _stop_answered(self, build: OpenBuild, word: Word) -> None:
        if word.kind is Kind.LOST:
            build.stopping = False
        elif build.accepted:
            _tell(build)  # its end comes, and drops it
        else:
            self._drop(build)

    def _asked(self, build: OpenBuild, status: JobStatus | None) -> None:
        if status is None:
            build.withdrawing = False
        elif status.running or build.handle is None:
            self._client.call_later(NUMBER_SECONDS, partial(_tell, build))
        else:
            self._withdraw(build, build.handle)

    def _withdraw(self, build: OpenBuild, handle: str) -> None:
        build.withdrawn = True
        self._client.cancel(handle, partial(self._withdrawn, build))

    def _withdrawn(self, build: OpenBuild, was_queued: bool | None) -> None:
        if was_queued is None:
            build.withdrawing = False
        elif was_queued and self._client.kind is not ServerKind.JOINING:
            self._drop(build)
        elif was_queued:
            self._client.call_later(NUMBER_SECONDS, partial(self._linger, build))
        else:
            self._client.call_later(NUMBER_SECONDS, partial(_tell, build))

    def _linger(self, build: OpenBuild) -> None:
        """No number came after the OK: it was queued after all."""
        if not build.can_be_stopped:
            self._drop(build)


def _tell(build: OpenBuild) -> None:
    for future in build.cancel:
        if not future.done():
            future.set_result(None)
