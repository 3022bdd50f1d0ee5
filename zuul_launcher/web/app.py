"""What is served: v2's status documents (behaviour.md §7.1), the page that shows them, the merger's repositories, and
measurements for Prometheus.

Nothing here reads a file at request time: the page and its few parts are read once, at the start, and known by name.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zuul_launcher.web.board import Board, Published
from zuul_launcher.web.conditional import http_date, takes_gzip, unchanged

MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
STATIC = ("page.js", "draw.js", "words.js", "page.css", "icon.svg")
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"  # the text format of Prometheus
POLL_SECONDS = 2
CHANGE_ID = re.compile(r"\d{1,20},\d{1,20}", re.ASCII)
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
}


class _Status:
    """The document or a cut of it. Any method is answered, as v2 does: an ASGI application, not a function."""

    def __init__(self, board: Board, expiry: int, clock: Callable[[], float]) -> None:
        self._board = board
        self._expiry = expiry
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        self._board.asked_at = self._clock()
        newest = self._board.newest
        if newest is None:
            return PlainTextResponse("The gate is starting; there is nothing to show yet.\n", 503, {"Retry-After": "2"})
        id = request.path_params.get("id")
        if id is not None and not CHANGE_ID.fullmatch(id):
            return _not_found()
        headers = self._headers(newest)
        if unchanged(request.headers, newest.tag, newest.at):
            return Response(status_code=304, headers=headers)
        body = newest.body if id is None else newest.items(id)
        if id is None and takes_gzip(request.headers):
            body = newest.compressed
            headers["Content-Encoding"] = "gzip"
        return Response(body, media_type="application/json", headers=headers)

    def _headers(self, newest: Published) -> dict[str, str]:
        return {
            "Access-Control-Allow-Origin": "*",
            "Cache-Control": f"public, max-age={self._expiry}",
            "Last-Modified": http_date(newest.at),
            "Expires": http_date(newest.at + self._expiry),
            "ETag": newest.tag,
            "Vary": "Accept-Encoding",
        }


class _File:
    """Bytes that stay the same while the program runs."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self._body = body
        self._media_type = media_type
        self._headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Cache-Control": "no-cache", **SECURITY}

    async def __call__(self, request: Request) -> Response:
        if unchanged(request.headers, self._headers["ETag"]):
            return Response(status_code=304, headers=self._headers)
        return Response(self._body, media_type=self._media_type, headers=self._headers)


class _Dated:
    """Puts on every answer what no answer may lack: its date, and that its type is meant as said."""

    def __init__(self, inner: ASGIApp, clock: Callable[[], float]) -> None:
        self._inner = inner
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Date"] = http_date(self._clock())
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self._inner(scope, receive, dated)


def make_app(
    board: Board,
    *,
    clock: Callable[[], float],
    expiry: int = 1,
    title: str = "zuul-launcher",
    git_app: ASGIApp | None = None,
    metrics: Callable[[], bytes] | None = None,
) -> ASGIApp:
    """The application. expiry: `status_expiry`, seconds; git_app: serves what is under `/p/`, if anything does;
    metrics: gives what `/metrics` shows, if it shows anything."""
    status = _Status(board, expiry, clock)
    routes: list[BaseRoute] = [Route(path, status) for path in ("/status", "/status.json", "/status/change/{id}")]
    routes.append(_file("/", _page(title), "text/html"))
    routes += [_file(f"/static/{name}", body, _media_type(name)) for name, body in _static().items()]
    if metrics is not None:
        routes.append(_metrics(metrics))
    if git_app is not None:
        routes.append(Mount("/p", app=git_app))
    return _Dated(Router(routes, redirect_slashes=False, default=_default), clock)


def _metrics(exposition: Callable[[], bytes]) -> Route:
    async def show(request: Request) -> Response:
        return Response(exposition(), media_type=EXPOSITION, headers={"Cache-Control": "no-store"})

    return Route("/metrics", show, methods=["GET"])


def _file(path: str, body: bytes, media_type: str) -> Route:
    return Route(path, _File(body, media_type).__call__, methods=["GET"])


def _page(title: str) -> bytes:
    templates = Environment(
        loader=PackageLoader("zuul_launcher.web", "templates"), autoescape=True, undefined=StrictUndefined
    )
    return templates.get_template("page.html").render(title=title, poll_seconds=POLL_SECONDS).encode()


def _static() -> Mapping[str, bytes]:
    folder = resources.files("zuul_launcher.web") / "static"
    return {name: (folder / name).read_bytes() for name in STATIC}


def _media_type(name: str) -> str:
    return MEDIA_TYPES[name.rpartition(".")[2]]


def _not_found() -> Response:
    return PlainTextResponse("Not found\n", 404)


async def _default(scope: Scope, receive: Receive, send: Send) -> None:
    await _not_found()(scope, receive, send)
