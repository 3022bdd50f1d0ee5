"""A statsd that only listens, and remembers."""

import socket
import time
from collections.abc import Callable

from support.waiting import SECONDS


class Statsd:
    """Of loopback; use it as a context."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(SECONDS)
        self.port: int = self._socket.getsockname()[1]
        self.lines: list[str] = []

    def __enter__(self) -> "Statsd":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hear(self, *wanted: Callable[[str], object]) -> None:
        """Until there is a line for each of these questions."""
        end = time.monotonic() + SECONDS
        while not all(any(map(question, self.lines)) for question in wanted):
            assert time.monotonic() < end, self.lines
            self.lines.append(self._socket.recv(2000).decode())
