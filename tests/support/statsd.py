"""A statsd that only listens, and remembers."""

import socket
import threading
from collections.abc import Callable

from support.waiting import wait_until

LOOK_SECONDS = 0.2  # until the thread sees that it is to end


class Statsd:
    """Of loopback; use it as a context. It reads all the time: nobody else keeps what comes when its queue is full."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(LOOK_SECONDS)
        self.port: int = self._socket.getsockname()[1]
        self.lines: list[str] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="statsd", daemon=True)

    def __enter__(self) -> "Statsd":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()

    def hear(self, *wanted: Callable[[str], object]) -> None:
        """Until there is a line for each of these questions."""

        def missing() -> list[object]:
            lines = list(self.lines)
            return [question for question in wanted if not any(map(question, lines))]

        wait_until(lambda: not missing(), what=f"lines of statsd, of which there are {self.lines[-50:]}")

    def _read(self) -> None:
        while not self._is_over.is_set():
            try:
                self.lines.append(self._socket.recv(2000).decode())
            except TimeoutError:
                continue
