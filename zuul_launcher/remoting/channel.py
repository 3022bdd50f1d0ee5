"""A channel: call functions on the far side. SKELETON: signatures are final, the body is a first local one."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import cloudpickle  # type: ignore[import-untyped] # it has no types

from zuul_launcher.remoting.context import CallContext, running
from zuul_launcher.remoting.portable import travel
from zuul_launcher.remoting.settings import ChannelSettings


class Channel:
    """A duplex connection to a node (controller side), or back to the controller (node side)."""

    def __init__(self, name: str, settings: ChannelSettings | None = None) -> None:
        self.name = name
        self.settings = settings or ChannelSettings()
        self.is_open = True
        self.far: Channel = self

    def call(self, function: Callable[..., Any], /, *args: Any, timeout: float | None = None, **keywords: Any) -> Any:
        """Run `function(*args, **keywords)` on the far side and give its result, or raise its error."""
        return self.call_async(function, *args, **keywords).result(timeout)

    def call_async(self, function: Callable[..., Any], /, *args: Any, **keywords: Any) -> Future[Any]:
        """The same without waiting: result(timeout), cancel(), done(), add_done_callback(f), awaitable."""
        body = self._encode((function, args, keywords))
        future: Future[Any] = Future()

        def run() -> None:
            try:
                ours, given, named = self.far._decode(body)
                with running(CallContext(self.far)):
                    future.set_result(self._decode(self.far._encode(ours(*given, **named))))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    def export(self, instance: object, methods: Sequence[str] | None = None) -> Any:
        """A handle to pass as an argument or result: a proxy with these methods on the other side."""
        raise NotImplementedError

    def allow(self, package: str) -> None:
        """Serve the sources of this module or package (with all below) to the agent."""

    def on_close(self, callback: Callable[[BaseException], object]) -> None:
        """Call once with the cause when the channel has ended; at once if it has. On the agent: clean up here."""

    def close(self) -> None:
        """Close in order; twice is fine."""
        self.is_open = False

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _encode(self, value: Any) -> bytes:
        buffer = io.BytesIO()
        travel.channel = self
        try:
            cloudpickle.Pickler(buffer).dump(value)
        finally:
            travel.channel = None
        return buffer.getvalue()

    def _decode(self, body: bytes) -> Any:
        travel.channel = self
        try:
            return cloudpickle.loads(body)
        finally:
            travel.channel = None


class LocalChannel(Channel):
    """The node is this process; callables travel through the same serialisation."""

    def __init__(self, name: str = "local", settings: ChannelSettings | None = None) -> None:
        super().__init__(name, settings)
        self.far = Channel(f"{name} (far side)", settings)
        self.far.far = self
