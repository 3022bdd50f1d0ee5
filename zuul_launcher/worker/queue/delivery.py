"""Where the news of one build go: one job of one connection, and never of the next one.

A server may hand the same job out again under the same handle (gearmand does): a late word on a new connection would
end somebody else's run. So a delivery knows the connection it began on, and is silent when that is gone.
"""

from functools import partial
from typing import Protocol

from gear import constants

from zuul_launcher.gearman.wire import encode


class Bearer(Protocol):
    """The connection, as far as a delivery knows it."""

    @property
    def generation(self) -> int: ...

    def deliver(self, delivery: "HandleDelivery", packets: bytes, *, last: bool) -> None:
        """Send them if this is the delivery of the job that it has; in the order of the calls, from any thread."""


class HandleDelivery:
    """`parts.Delivery` of one handle."""

    def __init__(self, bearer: Bearer, handle: bytes) -> None:
        self._bearer = bearer
        self._generation = bearer.generation
        self._encode = partial(_encode, handle)

    @property
    def is_connected(self) -> bool:
        return self._bearer.generation == self._generation

    def data(self, data: bytes) -> None:
        self._say(self._encode(constants.WORK_DATA, data))

    def status(self, numerator: int, denominator: int) -> None:
        self._say(self._encode(constants.WORK_STATUS, b"%d" % numerator, b"%d" % denominator))

    def complete(self, data: bytes) -> None:
        self._end(self._encode(constants.WORK_DATA, data) + self._encode(constants.WORK_COMPLETE, data))

    def fail(self) -> None:
        self._end(self._encode(constants.WORK_FAIL))

    def exception(self, text: str) -> None:
        self._end(self._encode(constants.WORK_EXCEPTION, text.encode()))

    def _say(self, packets: bytes) -> None:
        self._bearer.deliver(self, packets, last=False)

    def _end(self, packets: bytes) -> None:
        self._bearer.deliver(self, packets, last=True)


def _encode(handle: bytes, command: int, *arguments: bytes) -> bytes:
    return encode(command, handle, *arguments)
