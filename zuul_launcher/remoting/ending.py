"""How a channel ends. Runs on the node too.

In order: each side says CLOSE and nothing after it. Else by a loss, with its cause. The first cause wins; all that
waits learns it within a second, with the exit status and the last words of the far side where they are known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from zuul_launcher.remoting import frames
from zuul_launcher.remoting.errors import ChannelClosed, ChannelForked
from zuul_launcher.remoting.transport import Transport

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

_LAST_WORDS = 0.5  # seconds to learn what became of the far side


class Ending:
    """The end of one channel."""

    def __init__(self, channel: Channel, transport: Transport) -> None:
        self._channel = channel
        self._transport = transport
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._begun = threading.Event()
        self._told = threading.Event()
        self._answered = threading.Event()  # the far side has said CLOSE, or is gone
        self._done = threading.Event()
        self._callbacks: list[Callable[[ChannelClosed], object]] = []
        self._outcome = ""
        self.cause: BaseException | None = None

    def check(self) -> None:
        """ChannelClosed (or ChannelForked): it has ended."""
        if self.cause is not None:
            raise self._error()

    def _error(self) -> ChannelClosed:
        cause = self.cause
        if isinstance(cause, ChannelForked):
            return ChannelForked(str(cause))
        parts = [f"channel {self._channel.name}: {cause}", self._outcome]
        error = ChannelClosed("; ".join(part for part in parts if part))
        error.__cause__ = cause
        return error

    def lost(self, cause: BaseException) -> None:
        """The connection has ended, or the far side broke a rule. From any thread; it does not block."""
        self._answered.set()
        self._begin(cause, orderly=False)

    def closed_there(self) -> None:
        """The far side said CLOSE; on the reader thread."""
        self._answered.set()
        self._begin(EOFError("closed by the far side"), orderly=True)

    def close(self) -> None:
        """From this side."""
        if isinstance(self.cause, ChannelForked):
            return
        self._begin(EOFError("closed by this side"), orderly=True)
        if self._thread is not threading.current_thread():
            self._done.wait()
            self._channel.join(self._channel.settings.close_timeout)

    def _begin(self, cause: BaseException, orderly: bool) -> None:
        with self._lock:
            if self.cause is not None:
                return
            self.cause = cause
            self._thread = threading.Thread(
                target=self._run, args=(orderly,), name=f"end of {self._channel.name}", daemon=True
            )
        self._thread.start()
        self._begun.set()

    def _run(self, orderly: bool) -> None:
        channel, patience = self._channel, self._channel.settings.close_timeout
        if orderly:
            channel.release(self._error)
            channel.wire.send(frames.CLOSE, 0, b"")
            self._answered.wait(patience)
        else:
            self._outcome = self._transport.outcome(_LAST_WORDS)
            channel.release(self._error)
        channel.wire.end()
        with self._lock:
            callbacks, self._callbacks = self._callbacks, []
        error = self._error()
        for callback in callbacks:
            self._tell(callback, error)
        self._told.set()
        self._transport.close(patience if orderly else 0.0)
        if channel.wire.join(patience):
            channel.wire.release()
        with self._lock:
            self._done.set()
            late, self._callbacks = self._callbacks, []
        for callback in late:
            self._tell(callback, error)

    def _tell(self, callback: Callable[[ChannelClosed], object], error: ChannelClosed) -> None:
        from zuul_launcher.remoting.channel import _logged

        _logged(lambda: callback(error))

    def on_close(self, callback: Callable[[ChannelClosed], object]) -> None:
        """Called once; at once if the channel has ended."""
        with self._lock:
            if not self._done.is_set():
                self._callbacks.append(callback)
                return
        self._tell(callback, self._error())

    def wait_begun(self, seconds: float | None) -> bool:
        """Until there is a cause."""
        return self._begun.wait(seconds)

    def wait_told(self, seconds: float | None) -> bool:
        """Until the callbacks have run."""
        return self._told.wait(seconds)

    def wait(self, seconds: float | None) -> bool:
        """Until all is done."""
        return self._done.wait(seconds)
