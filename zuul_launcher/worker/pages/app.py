"""The pages of a build manager and their JSON, read-only (worker-and-remoting B1): which address is answered by what.

Paths are split before they are decoded, since names of jobs hold slashes. Nothing here changes anything; what is read
from disk or from SQL is read in threads, and long consoles are searched one after the other.
"""

import asyncio
import logging
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.worker.pages.build import BuildPages
from zuul_launcher.worker.pages.drawing import Drawing, static_files
from zuul_launcher.worker.pages.overview import OverviewPages
from zuul_launcher.worker.pages.paths import build_path, parts
from zuul_launcher.worker.pages.serving import missing, moved, refusal
from zuul_launcher.worker.pages.view import View

log = logging.getLogger(__name__)


def make_app(view: View, *, clock: Callable[[], float]) -> ASGIApp:
    """The application. `clock`: Unix time, for how long a build has been running."""
    return _Pages(view, clock)


class _Pages:
    def __init__(self, view: View, clock: Callable[[], float]) -> None:
        drawing = Drawing(view, clock)
        self._builds = BuildPages(view, drawing, clock)
        self._overview = OverviewPages(view, drawing, clock)
        self._static = static_files()
        self._scanning = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        try:
            response = await self._answer(request)
        except RemoteUnavailable as error:
            log.warning("%s cannot be answered: %s", request.url.path, error)
            response = refusal(503, "The history cannot be read now; try again", {"Retry-After": "5"})
        except Exception:
            log.exception("%s cannot be answered", request.url.path)
            response = refusal(500, "This is a fault of the build manager; its log says more")
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return refusal(405, "These pages only show", {"Allow": "GET, HEAD"})
        found = parts(request.scope.get("raw_path") or request.scope["path"].encode())
        if found is None:
            return missing()
        if len(found) == 2 and found[0] == "static" and found[1] in self._static:
            return self._static[found[1]](request)
        place = build_path(found)
        if place is None:
            return await run_in_threadpool(self._overview.answer, request, found)
        if not place.rest:
            return moved(f"{place.number}/")
        if self._builds.reads_all(request, place):
            async with self._scanning:
                return await run_in_threadpool(self._builds.answer, request, place)
        return await run_in_threadpool(self._builds.answer, request, place)
