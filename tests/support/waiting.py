"""Wait for a condition, never for a time. The deadline is generous: it ends a test that hangs, and measures nothing."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 120.0
_Found = TypeVar("_Found")


def wait_until(condition: Callable[[], _Found], deadline: float = SECONDS, what: str = "the condition") -> _Found:
    """The first true answer of `condition`. AssertionError that names `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {deadline:g} s in vain for {what}"
        time.sleep(0.02)
    return found


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
