"""Administration over Gearman: the scheduler serves `zuul:*` as a worker, the command line calls it as a client.

Rules: one request at a time, in the order of the server; each is handed on with an id of its own and answered when
the answer comes, at the latest with an exception after the deadline. A caller that sends nonsense is told by whoever
reads the arguments.
"""

import json
import queue
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from gear import constants

from zuul_launcher.errors import RemoteUnavailable, RequestError
from zuul_launcher.gearman.client import LAST_WORDS, Client, Kind, Submission, Word
from zuul_launcher.gearman.link import CONNECT_SECONDS, DELAYS, Link, log
from zuul_launcher.gearman.wire import encode

FUNCTIONS = ("zuul:enqueue", "zuul:enqueue_ref", "zuul:promote", "zuul:dequeue", "zuul:get_running_jobs")
ANSWER_SECONDS = 60.0

Receive = Callable[[str, str, bytes], None]  # request id, function, arguments


class Listener(Link):
    """A Gearman worker that hands each job to `receive`, which must not block."""

    def __init__(
        self,
        server: str,
        port: int,
        receive: Receive,
        *,
        functions: Sequence[str] = FUNCTIONS,
        name: str = "Zuul RPC Listener",
        delays: Sequence[float] = DELAYS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        super().__init__(server, port, name=name, delays=delays)
        self._receive = receive
        self._functions = functions
        self._answer_seconds = answer_seconds
        self._serving: tuple[str, bytes] | None = None  # request id and handle

    def answer(self, request: str, error: str | None = None, data: bytes = b"") -> None:
        """From any thread. One for a request that is answered already, or whose connection broke, has no effect."""
        self.call(partial(self._answer, request, error, data))

    def _answer(self, request: str, error: str | None, data: bytes) -> None:
        if self._serving is None or self._serving[0] != request:
            log.debug("answer to request %s comes too late", request)
            return
        handle = self._serving[1]
        self._serving = None
        if error is None:
            self.send(encode(constants.WORK_COMPLETE, handle, data))
        else:
            self.send(encode(constants.WORK_EXCEPTION, handle, error.encode(errors="replace")))
        self._grab()

    def opened(self) -> None:
        self.send(encode(constants.SET_CLIENT_ID, self.name.encode()))
        for function in self._functions:
            self.send(encode(constants.CAN_DO, function.encode()))
        self._grab()

    def closed(self) -> None:
        self._serving = None

    def _grab(self) -> None:
        self.send(encode(constants.GRAB_JOB_UNIQ))

    def packet(self, command: int, body: bytes) -> None:
        if command == constants.NO_JOB:
            self.send(encode(constants.PRE_SLEEP))
        elif command == constants.NOOP and self._serving is None:
            self._grab()
        elif command == constants.JOB_ASSIGN_UNIQ:
            handle, function, _, arguments = body.split(b"\0", 3)
            self._serve_request(handle, function.decode(errors="replace"), arguments)
        elif command == constants.ERROR:
            log.warning("%s: %s says: %r", self.name, self.address, body)

    def _serve_request(self, handle: bytes, function: str, arguments: bytes) -> None:
        request = uuid4().hex
        self._serving = (request, handle)
        late = f"The scheduler did not answer within {self._answer_seconds:g} s; the request may still be carried out."
        self.call_later(self._answer_seconds, partial(self._expire, request, late))
        try:
            self._receive(request, function, arguments)
        except Exception as error:
            log.exception("request %s (%s) could not be taken", request, function)
            self._answer(request, f"The scheduler could not take the request: {error}", b"")

    def _expire(self, request: str, text: str) -> None:
        if self._serving is not None and self._serving[0] == request:
            self._answer(request, text, b"")

    def line(self, text: str) -> None:
        log.warning("%s: %s sent an unexpected line: %.200s", self.name, self.address, text)


def request(server: str, port: int, function: str, arguments: dict[str, Any], deadline: float = 90.0) -> bytes:
    """Call a function of the scheduler and return its data; `deadline` in seconds for all of it.

    Raises RequestError with the scheduler's text if it says no, RemoteUnavailable if nobody answers.
    """
    try:
        socket.create_connection((server, port), timeout=min(deadline, CONNECT_SECONDS)).close()
    except OSError as error:
        raise RemoteUnavailable(f"no Gearman server at {server}:{port}: {error}; is it running?") from error
    words: queue.SimpleQueue[Word] = queue.SimpleQueue()
    client = Client(server, port, name="zuul", answer_seconds=deadline)

    def hear(word: Word) -> None:
        if word.kind in LAST_WORDS:
            words.put(word)

    def submit(connected: bool) -> None:
        if connected:
            client.submit(Submission(function, json.dumps(arguments).encode()), hear)

    client.subscribe(submit)
    client.start()
    try:
        word = words.get(timeout=deadline)
    except queue.Empty:
        what = f"offers {function} and answered" if client.connected else "could be reached"
        raise RemoteUnavailable(
            f"nobody at Gearman server {client.address} {what} within {deadline:g} s; is the scheduler running?"
        ) from None
    finally:
        client.stop()
    text = word.data.decode(errors="replace")
    match word.kind:
        case Kind.COMPLETE:
            return word.data
        case Kind.LOST:
            raise RemoteUnavailable(f"the connection to Gearman server {client.address} broke before the answer came")
        case Kind.FAIL:
            raise RequestError(f"the scheduler failed to carry out {function}")
        case _:
            raise RequestError(text)
