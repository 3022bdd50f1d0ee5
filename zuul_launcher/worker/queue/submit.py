"""Submits jobs to the Gearman server, for steps that trigger builds of other jobs.

One connection a job, and no thread: whoever waits reads. A job that is waited for ends on the server with its
connection if no worker has it yet; one that nobody waits for is left to the server.
"""

import socket
import time
from collections.abc import Iterator
from typing import Literal, Self

from gear import constants
from msgspec import Struct

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.gearman.wire import Frames, JunkReceived, encode

CONNECT_SECONDS = 10.0  # for the connection, and for each answer of the server itself
READ_SIZE = 65536
READ_SECONDS = 3600.0  # the system takes no timeout of more than 24 days

_ENDS: dict[int, Literal["complete", "fail", "exception"]] = {
    constants.WORK_COMPLETE: "complete",
    constants.WORK_FAIL: "fail",
    constants.WORK_EXCEPTION: "exception",
}


class JobEnd(Struct, frozen=True, kw_only=True):
    """How a job ended. "lost": the connection broke, so nobody will say; "cancelled": by us."""

    kind: Literal["complete", "fail", "exception", "lost", "cancelled"]
    data: bytes = b""  # of the last packet that had any: of a build its final JSON; of an exception its text


def submit(server: str, port: int, function: str, payload: bytes, unique: str = "") -> None:
    """Queue a job that nobody waits for; the server has it when this returns.

    Raises RemoteUnavailable and RemoteRefused.
    """
    SubmittedJob(server, port, function, payload, unique, background=True).close()


class SubmittedJob:
    """A job that is waited for: `wait` on one thread, `cancel` on any."""

    def __init__(
        self, server: str, port: int, function: str, payload: bytes, unique: str = "", *, background: bool = False
    ) -> None:
        """The server has it when this returns. Raises RemoteUnavailable and RemoteRefused."""
        command = constants.SUBMIT_JOB_BG if background else constants.SUBMIT_JOB
        self._place = f"{server} port {port}"
        self._frames = Frames()
        self._is_cancelled = False
        self._data = b""
        try:
            self._socket = socket.create_connection((server, port), CONNECT_SECONDS)
        except OSError as error:
            raise RemoteUnavailable(f"no connection to {self._place}: {error.strerror or error}") from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket.sendall(encode(command, function.encode(), unique.encode(), payload))
            self._packets = self._read()
            self.handle = self._read_handle()
        except (OSError, JunkReceived) as error:
            self.close()
            raise RemoteUnavailable(f"{self._place} did not take the job: {error}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float) -> JobEnd | None:
        """Its end; None: it has not ended within that time, and can be waited for again."""
        self._deadline = time.monotonic() + seconds
        try:
            for command, body in self._packets:
                _, _, data = body.partition(b"\0")
                self._data = data or self._data
                if end := _ENDS.get(command):
                    return JobEnd(kind=end, data=self._data)
        except TimeoutError:
            self._packets = self._read()
            return None
        except (OSError, JunkReceived):
            pass
        return JobEnd(kind="cancelled" if self._is_cancelled else "lost", data=self._data)

    def cancel(self) -> None:
        """Take it off the server's queue; a worker that has it is not told. `wait` returns at once."""
        self._is_cancelled = True
        try:
            self._socket.sendall(b"cancel job " + self.handle + b"\n")
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass  # it is closed already

    def close(self) -> None:
        self._socket.close()

    def _read_handle(self) -> bytes:
        self._deadline = time.monotonic() + CONNECT_SECONDS
        for command, body in self._packets:
            if command == constants.JOB_CREATED:
                return body
            if command == constants.ERROR:
                text = body.replace(b"\0", b": ").decode(errors="replace")
                raise RemoteRefused(f"{self._place} did not take the job: {text}")
        raise RemoteUnavailable(f"{self._place} closed the connection")

    def _read(self) -> Iterator[tuple[int, bytes]]:
        """Packets until the connection ends. Raises OSError, of which TimeoutError at the deadline."""
        while True:
            left = self._deadline - time.monotonic()
            self._socket.settimeout(max(0.001, min(left, READ_SECONDS)))
            try:
                data = self._socket.recv(READ_SIZE)
            except TimeoutError:
                if left > READ_SECONDS:
                    continue
                raise
            if not data:
                return
            for message in self._frames.feed(data):
                if not isinstance(message, str):
                    yield message
