"""The result of a call that is on its way. Runs on the node too.

It is settled once: by an answer, by a cancel, or by the loss of the channel. The answer is decoded by who first asks
for it, never by the reader.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

from zuul_launcher.remoting.context import check_cancelled, current_call
from zuul_launcher.remoting.errors import Cancelled

_FOREVER = -1.0


class RemoteFuture:
    """`result`, `cancel`, `done`, `add_done_callback`; or `await` it. All may be used from any thread."""

    def __init__(self, abandon: Callable[[], object], notify: Callable[[Callable[[], object]], object]) -> None:
        self._abandon = abandon
        self._notify = notify
        self._lock = threading.Lock()
        self._open = threading.Lock()  # held until it is settled
        self._open.acquire()
        self._settled = False
        self._cancelled = False
        self._decode: Callable[[], Any] | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[RemoteFuture], object]] = []
        self.began = 0.0
        self.what = ""

    def settle(self, decode: Callable[[], Any]) -> bool:
        """The answer is here: `decode` gives its value or raises its error. False: it was settled before."""
        with self._lock:
            if self._settled:
                return False
            self._settled = True
            self._decode = decode
            callbacks, self._callbacks = self._callbacks, []
        self._open.release()
        for callback in callbacks:
            self._inform(callback)
        return True

    def _inform(self, callback: Callable[[RemoteFuture], object]) -> None:
        self._notify(lambda: callback(self))

    def cancel(self) -> bool:
        """Tell the far side to stop, and end the wait here at once. False: too late."""
        if not self.settle(_raise_cancelled):
            return False
        self._cancelled = True
        self._abandon()
        return True

    def cancelled(self) -> bool:
        """Whether it ended by a cancel."""
        return self._cancelled

    def done(self) -> bool:
        """Whether `result` would not wait."""
        return self._settled

    def add_done_callback(self, callback: Callable[[RemoteFuture], object]) -> None:
        """Call it with this future on a thread of the channel when it is settled; at once if it is."""
        with self._lock:
            if not self._settled:
                self._callbacks.append(callback)
                return
        self._inform(callback)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is settled; False: not within `timeout` seconds. A cancel of the own call ends the wait."""
        seconds = _FOREVER if timeout is None else max(0.0, timeout)
        call = current_call()
        if call is None:
            return self._wait(seconds)
        with call.reaction(self.cancel):
            waited = self._wait(seconds)
        check_cancelled()
        return waited

    def _wait(self, seconds: float) -> bool:
        if not self._open.acquire(timeout=seconds):
            return False
        self._open.release()
        return True

    def result(self, timeout: float | None = None) -> Any:
        """The value, or the error of the far side. TimeoutError: not within `timeout` seconds; the call goes on."""
        if not self.wait(timeout):
            raise TimeoutError(f"no answer within {timeout:g} s")
        try:
            return self.answer()
        finally:
            del self  # as below

    def answer(self) -> Any:
        """The same of one that is settled."""
        with self._lock:
            decode, self._decode = self._decode, None
            if decode is not None:
                try:
                    self._value = decode()
                except BaseException as error:  # given to everybody who asks
                    self._error = error
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            del self, decode  # the error knows this frame: it must not know the error, or both stay until a collection

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

        loop = asyncio.get_running_loop()
        settled = loop.create_future()

        def settle() -> None:
            if not settled.done():
                settled.set_result(None)

        def tell(_: RemoteFuture) -> None:
            loop.call_soon_threadsafe(settle)

        self.add_done_callback(tell)
        try:
            yield from settled
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self.result(0)


def _raise_cancelled() -> None:
    raise Cancelled("the call was cancelled here")
