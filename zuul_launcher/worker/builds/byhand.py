"""A build that a person starts: it runs as any other; its news go to who started it."""

import json
import threading
from collections.abc import Iterator

from zuul_launcher.errors import RequestError
from zuul_launcher.worker.builds.build import Build


class HandDelivery:
    """`parts.Delivery` for a person."""

    is_connected = True

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._number: int | None = None
        self._is_over = False
        self._error = ""
        self._result: str | None = None

    def data(self, data: bytes) -> None:
        with self._change:
            self._number = json.loads(data)["number"]
            self._change.notify_all()

    def status(self, numerator: int, denominator: int) -> None:
        """A person sees the console."""

    def complete(self, data: bytes) -> None:
        self._end("", json.loads(data).get("result"))

    def fail(self) -> None:
        self._end("there is no such job", None)

    def exception(self, text: str) -> None:
        self._end(text, None)

    def _end(self, error: str, result: str | None) -> None:
        with self._change:
            self._is_over, self._error, self._result = True, error, result
            self._change.notify_all()

    def number(self) -> int:
        """Waits for it. Raises RequestError: it never ran, and why."""
        with self._change:
            self._change.wait_for(lambda: self._number is not None or self._is_over)
            if self._number is None:
                raise RequestError(self._error)
            return self._number

    def result(self) -> str | None:
        """Waits for its end. Raises RequestError: it never ran, and why."""
        with self._change:
            self._change.wait_for(lambda: self._is_over)
            if self._error:
                raise RequestError(self._error)
            return self._result


class ByHand:
    """What the person has of it."""

    def __init__(self, build: Build, delivery: HandDelivery) -> None:
        self._build, self._delivery = build, delivery

    def number(self) -> int:
        """Waits until it has one. Raises RequestError: it never ran, and why."""
        return self._delivery.number()

    def follow(self) -> Iterator[bytes]:
        """The console from its beginning, as it grows, to its end."""
        console = self._build.wait_opened()
        if console is not None:
            yield from console.follow()

    def result(self) -> str | None:
        """Waits for the end; None: it has none. Raises RequestError: it never ran, and why."""
        return self._delivery.result()

    def stop(self) -> None:
        self._build.ask("stopped")
