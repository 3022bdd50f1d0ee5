"""Answers: files in pieces (RFC 9110 §14), JSON, texts, and the headers that keep a browser from trusting them."""

import mimetypes
import re
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from zuul_launcher.worker.pages.documents import encoded
from zuul_launcher.worker.pages.files import File

CHUNK = 256 * 1024
# What a build wrote may be anything: it is shown without scripts, forms and an origin.
UNTRUSTED = {
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
TRUSTED = UNTRUSTED | {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
}
FRESH = {"Cache-Control": "no-cache"}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
# Shown by a browser as text; elsewhere the name decides, and `nosniff` sees to it that nothing else does.
_TEXTS = (".log", ".txt", ".out", ".err", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".rst", ".md", ".diff", ".patch")


def document(content: Any, status: int = 200) -> Response:
    """As JSON."""
    return Response(encoded(content), status, {**TRUSTED, "Cache-Control": "no-store"}, "application/json")


def refusal(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, {**TRUSTED, **(headers or {})})


def missing() -> Response:
    return refusal(404, "Not found")


def moved(to: str) -> Response:
    """`to`: relative, so that it holds behind any proxy."""
    return Response(status_code=301, headers={**TRUSTED, "Location": to})


def media_type(name: str) -> str:
    if name.lower().endswith(_TEXTS):
        return "text/plain; charset=utf-8"
    kind, packed = mimetypes.guess_type(name)
    if packed is not None:
        return "application/gzip" if packed == "gzip" else "application/octet-stream"
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def file_answer(request: Request, file: File, kind: str) -> Response:
    """An open file, whole or the range that was asked for. It is closed when all is sent."""
    assert file.stream is not None
    tag = f'"{int(file.changed * 1000):x}-{file.size:x}"'
    headers = {
        **UNTRUSTED,
        **FRESH,
        "ETag": tag,
        "Last-Modified": formatdate(file.changed, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": kind,
    }
    if tag in re.findall(r'"[^"]*"', request.headers.get("if-none-match", "")):
        file.stream.close()
        return Response(status_code=304, headers=headers)
    span = wanted(request.headers.get("range"), file.size)
    if span is not None and request.headers.get("if-range") in (None, tag):
        start, end = span
        if start >= end:
            file.stream.close()
            return refusal(416, "There is no such range", {"Content-Range": f"bytes */{file.size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        return piece(request, file.stream, start, end, headers, 206)
    return piece(request, file.stream, 0, file.size, headers)


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, end) of the one range that is asked for; start >= end: there is no such range. None: all of it, also
    for what is not understood, or several ranges, as RFC 9110 §14.2 allows."""
    asked = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if asked is None or not (asked[1] or asked[2]):
        return None
    if not asked[1]:
        return max(0, size - int(asked[2])), size if int(asked[2]) else 0
    if asked[2] and int(asked[2]) < int(asked[1]):
        return None
    return int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size


def piece(
    request: Request, stream: BinaryIO, start: int, end: int, headers: Mapping[str, str], status: int = 200
) -> Response:
    """The bytes from `start` to `end` of a file, which is closed at the end."""
    headers = {**headers, "Content-Length": str(end - start)}
    if request.method == "HEAD":
        stream.close()
        return Response(status_code=status, headers=headers)
    return _Piece(stream, start, end, status, headers)


class _Piece(StreamingResponse):
    """Closes its file whatever happens: a client may leave before the first byte is read."""

    def __init__(self, stream: BinaryIO, start: int, end: int, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(_read(stream, start, end), status, headers)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()


def _read(stream: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    stream.seek(start)
    while start < end and (data := stream.read(min(CHUNK, end - start))):
        start += len(data)
        yield data
