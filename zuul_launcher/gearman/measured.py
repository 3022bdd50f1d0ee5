"""What the built-in Gearman server does, on its way to statsd: the keys of v2 (behaviour.md §8.4)."""

from collections.abc import Callable

from zuul_launcher.gearman.server.observer import Observer


class Measured(Observer):
    def __init__(self, send: Callable[[bytes], None]) -> None:
        """`send` puts one line for statsd aside, without waiting."""
        self._send = send

    def packet(self, name: str, seconds: float) -> None:
        key = f"zuul.geard.packet.{name}"
        self._send(f"{key}:1|c".encode())
        self._send(f"{key}:{seconds * 1000:.3f}|ms".encode())

    def jobs(self, waiting: int, running: int) -> None:
        for name, number in (("total", waiting + running), ("running", running), ("waiting", waiting)):
            self._send(f"zuul.geard.queue.{name}:{number}|g".encode())
