"""Builds over Gearman: `build:JOB[:NODE]`, `set_description:MANAGER`, and what becomes of a build when a connection
breaks.

Rules
1. All of it runs on the client's thread; callers hand in and go on, events come through `post`, which must not block.
2. A build is posted as finished or lost once: the first last word counts, and nothing of a cancelled one is posted
   (cancels.py).
3. What counts is the latest data that the worker sent, in WORK_DATA or WORK_COMPLETE; how the job ended does not
   matter.
4. A build that ended here is not launched again, whoever asks: what is asked for twice was delivered twice.
5. A connection that broke costs no try: when it is back each open build is taken up again (reattach.py decides how).
"""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from uuid import uuid4

from msgspec import structs

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.gearman import results
from zuul_launcher.gearman.cancels import Cancels
from zuul_launcher.gearman.client import Client, JobStatus, Kind, ServerKind, Submission, Word
from zuul_launcher.gearman.link import log
from zuul_launcher.gearman.openbuild import BuildRequest, OpenBuild, Phase
from zuul_launcher.gearman.params import unusable
from zuul_launcher.gearman.reattach import Course, reattach
from zuul_launcher.gearman.registrations import ASK_SECONDS, Registrations
from zuul_launcher.model.events import AnyEvent, BuildFinished, BuildLost, BuildProgress, BuildQueued

CHECK_SECONDS = 300.0
REMEMBERED = 10_000  # builds that ended


class Builds:
    """All open builds of this process."""

    def __init__(
        self,
        client: Client,
        post: Callable[[AnyEvent], None],
        clock: Callable[[], float],
        *,
        check_registration: bool = True,
        check_seconds: float = CHECK_SECONDS,
        ask_seconds: float = ASK_SECONDS,
    ) -> None:
        """`check_seconds`: how often the server is asked whether it still knows the builds; `ask_seconds`: how long an
        answer about registered functions holds."""
        self._client = client
        self._post = post
        self._clock = clock
        self._check_registration = check_registration
        self._check_seconds = check_seconds
        self._registrations = Registrations(client, ask_seconds)
        self._cancels = Cancels(client, self._drop)
        self._open: dict[str, OpenBuild] = {}
        self._ended: dict[str, None] = {}  # uuids, the latest ones
        client.subscribe(self._connection_changed)

    # For all threads

    def start(self) -> None:
        """Look after builds that the server forgot; the client is started by its owner."""
        self._client.call(partial(self._client.call_later, self._check_seconds, self._check_open))

    def launch(self, request: BuildRequest) -> None:
        """Submit it as soon as there is a connection; one that is open already is left alone."""
        self._client.call(partial(self._add, request))

    def resume(self, requests: Iterable[BuildRequest]) -> None:
        """Take up builds that an earlier process left open."""
        for request in requests:
            self.launch(structs.replace(request, resumed=True))

    def cancel(self, request: BuildRequest) -> Future[None]:
        """End a build, wherever it is. The future is done when nothing is left to do about it, or all was done that
        can be; it waits for a connection as long as it takes. Later replies of the build are not posted."""
        future: Future[None] = Future()
        self._client.call(partial(self._cancel, request, future))
        return future

    def describe(self, job: str, number: int | str, manager: str, html: str) -> None:
        """Tell the worker what became of the build, if it wants to know. Raises RemoteUnavailable without a
        connection."""
        if not self._client.connected:
            raise RemoteUnavailable(f"no connection to Gearman server {self._client.address}")
        function = f"set_description:{manager}"
        payload = json.dumps({"name": job, "number": number, "html_description": html}).encode()
        submit = partial(self._client.submit, Submission(function, payload, uuid4().hex, "low"), lambda word: None)
        self._client.call(partial(self._when_registered, function, submit, lambda: None))

    # Launching

    def _add(self, request: BuildRequest) -> None:
        if request.build in self._open or request.build in self._ended:
            return
        build = OpenBuild(request, submitted=request.resumed)
        self._open[request.build] = build
        if self._client.connected:
            self._begin(build)

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._registrations.learn()
            for build in list(self._open.values()):
                self._begin(build)

    def _begin(self, build: OpenBuild) -> None:
        if build.submitted:
            self._take_up(build)
            return
        if reason := unusable(build.request.function):
            self._finish(build, "EXCEPTION", reason)
            return
        refuse = partial(self._finish, build, "NOT_REGISTERED", f"no worker offers {build.request.function}")
        self._when_registered(build.request.function, partial(self._submit, build), refuse)

    def _when_registered(self, function: str, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        if self._check_registration:
            self._registrations.look_up(function, then, otherwise)
        else:
            then()

    def _submit(self, build: OpenBuild) -> None:
        if not self._is_open(build) or build.phase is Phase.SUBMITTED:
            return
        build.phase, build.submitted = Phase.SUBMITTED, True
        request = build.request
        payload = json.dumps(request.parameters).encode()
        job = Submission(request.function, payload, unique=request.build, precedence=request.precedence)
        self._client.submit(job, partial(self._hear, build))

    # Hearing of it

    def _hear(self, build: OpenBuild, word: Word) -> None:
        if not self._is_open(build):
            return
        match word.kind:
            case Kind.CREATED:
                self._queued(build, word.data.decode("latin-1"))
            case Kind.DATA:
                build.latest = word.data or build.latest
                self._progress(build)
            case Kind.WARNING:
                build.latest = word.data or build.latest
            case Kind.STATUS:
                self._progress(build)
            case Kind.COMPLETE | Kind.FAIL | Kind.EXCEPTION:
                self._end(build, word)
            case Kind.REFUSED:
                self._finish(build, "EXCEPTION", "the Gearman server refused it: " + _text(word.data))
            case Kind.LOST:
                build.disconnected()

    def _queued(self, build: OpenBuild, handle: str) -> None:
        build.accepted = True
        is_new = handle != build.handle
        build.handle = handle
        if build.cancel:
            self._cancels.pursue(build)
        elif is_new:
            request = build.request
            self._post(
                BuildQueued(
                    at=self._clock(), item=request.item, attempt=request.attempt, build=request.build, handle=handle
                )
            )

    def _progress(self, build: OpenBuild) -> None:
        reply = results.read(build.latest, build.data)
        if reply.error:
            log.warning("build %s of %s: %s", build.request.build, build.request.job, reply.error)
        if reply.data == build.data:
            return
        build.data = reply.data
        if build.cancel:
            self._cancels.pursue(build)
            return
        request = build.request
        self._post(
            BuildProgress(
                at=self._clock(), item=request.item, attempt=request.attempt, build=request.build, data=reply.data
            )
        )

    def _end(self, build: OpenBuild, word: Word) -> None:
        if build.cancel and self._cancels.may_still_run(build, word):
            return
        if word.kind is Kind.COMPLETE and word.data:
            build.latest = word.data
        reply = results.read(build.latest, build.data)
        build.data = reply.data
        reason = reply.error
        if word.kind is Kind.EXCEPTION:
            reason = "the worker says: " + _text(word.data)
        elif reply.result is None and reason is None:
            failed = "the build's worker failed or lost its connection"
            reason = failed if word.kind is Kind.FAIL else "the worker gave no result"
        self._finish(build, reply.result, reason)

    def _finish(self, build: OpenBuild, result: str | None, reason: str | None) -> None:
        if not self._drop(build):
            return
        request = build.request
        if result is None or reason:
            log.warning("build %s of %s ended with result %s: %s", request.build, request.job, result, reason)
        self._post(
            BuildFinished(
                at=self._clock(),
                item=request.item,
                attempt=request.attempt,
                build=request.build,
                result=result,
                data=build.data,
                reason=reason,
            )
        )

    # Taking up again

    def _take_up(self, build: OpenBuild) -> None:
        """Ask the server what it knows, where that decides anything."""
        if build.cancel and build.can_be_stopped:
            self._cancels.pursue(build)
            return
        answer = partial(self._taken_up, build)
        if self._client.kind is ServerKind.OURS:
            self._client.ask_status_of_unique(build.request.build, answer)
        elif build.handle is not None:
            self._client.ask_status(build.handle, answer)
        else:
            answer(JobStatus(known=False, running=False))

    def _taken_up(self, build: OpenBuild, status: JobStatus | None) -> None:
        if status is None or not self._is_open(build) or build.phase is Phase.SUBMITTED:
            return
        match reattach(self._client.kind, status, has_handle=build.handle is not None, is_cancelled=bool(build.cancel)):
            case Course.SUBMIT:
                self._submit(build)
            case Course.WITHDRAW:
                if build.handle is not None:
                    self._client.cancel(build.handle, lambda answer: None)
                self._lose(build, "it was queued when the connection broke, and this server runs no such job")
            case Course.LOSE:
                self._lose(build, "the Gearman server does not know it any more")

    def _lose(self, build: OpenBuild, reason: str) -> None:
        if build.can_be_stopped:
            self._cancels.send_stop(build, lambda word: None)
        if not self._drop(build):
            return
        request = build.request
        log.warning("build %s of %s is lost: %s", request.build, request.job, reason)
        self._post(
            BuildLost(at=self._clock(), item=request.item, attempt=request.attempt, build=request.build, reason=reason)
        )

    def _check_open(self) -> None:
        for build in self._open.values():
            if build.accepted and build.handle is not None:
                self._client.ask_status(build.handle, partial(self._checked, build))
        self._client.call_later(self._check_seconds, self._check_open)

    def _checked(self, build: OpenBuild, status: JobStatus | None) -> None:
        if status is not None and not status.known and self._is_open(build):
            self._lose(build, "the Gearman server has forgotten it")

    # Cancelling

    def _cancel(self, request: BuildRequest, future: Future[None]) -> None:
        if request.build in self._ended:
            future.set_result(None)
            return
        build = self._open.get(request.build)
        if build is None:
            build = OpenBuild(request, submitted=True)
            self._open[request.build] = build
        build.cancel.append(future)
        if not build.submitted:
            self._drop(build)
        elif build.accepted:
            self._cancels.pursue(build)
        elif self._client.connected and build.phase is Phase.WAITING:
            self._take_up(build)

    def _is_open(self, build: OpenBuild) -> bool:
        return self._open.get(build.request.build) is build

    def _drop(self, build: OpenBuild) -> bool:
        """Have no more to do with it. True if its end is still to be posted: it was open, and nobody cancelled it."""
        if not self._is_open(build):
            return False
        del self._open[build.request.build]
        self._ended[build.request.build] = None
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        if build.handle is not None:
            self._client.forget(build.handle)
        for future in build.cancel:
            if not future.done():
                future.set_result(None)
        return not build.cancel


def _text(data: bytes) -> str:
    return results.clean(data.decode(errors="replace"), results.TEXT_LIMIT)
