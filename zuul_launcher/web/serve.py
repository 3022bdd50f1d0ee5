"""An ASGI application on a port: uvicorn in a thread of its own, with its own event loop, asleep while nobody asks."""

import asyncio
import socket
from threading import Thread
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from zuul_launcher.errors import ZuulLauncherError

STOP_SECONDS = 10.0  # that a stop may take; open requests get STOP_SECONDS / 2 to end
CONNECTIONS = 1000  # more at once are answered 503


class _Server(uvicorn.Server):
    """uvicorn wakes ten times a second to look whether it should stop; this one is told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:  # told before the loop was there
            await self._told.wait()

    def tell(self) -> None:
        """From any thread: stop."""
        self.should_exit = True
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._told.set)
            except RuntimeError:
                pass  # the loop has ended already, which is what is wanted


class Page:
    """Listens from the moment it is made; serves between `start` and `stop`. Also a context manager.

    Raises OSError if the port cannot be had. port 0: a free one, told by `port`.
    """

    def __init__(self, app: ASGIApp, address: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family, backlog=256)
        self.address = address
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,  # the application sends it
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=int(STOP_SECONDS / 2),
        )
        self._server = _Server(config)
        self._thread = Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="page", daemon=True)

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/"

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let open requests end, then close. Harmless twice. Raises ZuulLauncherError if it does not end in time."""
        self._server.tell()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            raise ZuulLauncherError(f"the page on port {self.port} did not stop within {STOP_SECONDS:g} s")
        self._socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
