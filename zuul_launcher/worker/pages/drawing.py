"""HTML from templates, and the parts that a page loads: read once, at the start. Everything from outside is escaped,
and letters that would turn the text around them are made visible.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from zuul_launcher.worker.pages import documents
from zuul_launcher.worker.pages.paths import address
from zuul_launcher.worker.pages.serving import FRESH, TRUSTED
from zuul_launcher.worker.pages.view import BuildView, View
from zuul_launcher.worker.parts import BuildRecord
from zuul_launcher.worker.places import build_address

PACKAGE = "zuul_launcher.worker.pages"
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_TURNING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
# Result -> kind for the style sheet, mark; so that colour is never needed.
RESULTS = {
    "SUCCESS": ("good", "✓"),
    "FAILURE": ("bad", "✕"),
    "TIMED_OUT": ("bad", "✕"),
    "POST_FAILURE": ("bad", "✕"),
    "UNSTABLE": ("odd", "!"),
    "ABORTED": ("off", "–"),
    None: ("odd", "?"),
}


class Drawing:
    """Draws the pages of one manager."""

    def __init__(self, view: View, clock: Callable[[], float]) -> None:
        self._view = view
        self._clock = clock
        self._templates = Environment(
            loader=PackageLoader(PACKAGE, "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        words = {"plain": plain, "when": when, "span": span, "bytes": size, "address": address, "value": value}
        self._templates.filters.update(words)
        self._templates.globals.update(state=state, duration=self._duration, build_address=build_address)

    def page(self, template: str, **facts: Any) -> Response:
        """`facts`: what the template needs; `root`: the way from its address to the root of the pages."""
        text = self._templates.get_template(template).render(manager=self._view.manager, **facts)
        headers = {**TRUSTED, "Cache-Control": "no-store"}
        return Response(text.encode(errors="replace"), media_type="text/html", headers=headers)

    def _duration(self, record: BuildRecord) -> float:
        return documents.duration(record, self._clock())


def static_files() -> Mapping[str, Callable[[Request], Response]]:
    """Name -> what answers for it."""
    folder = resources.files(PACKAGE) / "static"
    return {file.name: _file(file.name, file.read_bytes()) for file in folder.iterdir()}


def _file(name: str, body: bytes) -> Callable[[Request], Response]:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**TRUSTED, **FRESH, "ETag": tag}
    kind = MEDIA_TYPES[name.rpartition(".")[2]]

    def answer(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=kind, headers=headers)

    return answer


def state(record: BuildRecord, running: Sequence[BuildView]) -> dict[str, str]:
    """How a build stands: `kind` for the style sheet, `mark`, `word`, and what it does now."""
    if record.finished_at is not None:
        kind, mark = RESULTS.get(record.result, ("bad", "✕"))
        return {"kind": kind, "mark": mark, "word": record.result or "no result", "step": ""}
    here = [one for one in running if (one.job, one.number) == (record.job, record.number)]
    if not here:
        return {"kind": "busy", "mark": "▸", "word": "running", "step": ""}
    now = here[0]
    kind, mark = ("open", "◦") if now.state == "queued" else ("busy", "▸")
    return {"kind": kind, "mark": mark, "word": now.state, "step": now.step if now.step != now.state else ""}


def plain(text: object) -> str:
    return _TURNING.sub("\ufffd", str(text))


def value(found: object) -> str:
    """A parameter as a person reads it: text as it is, all else as JSON."""
    return plain(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))


def when(at: float) -> str:
    """Unix time as text that says its zone."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(at)


def span(seconds: float) -> str:
    """How long, as people say it."""
    whole = int(max(seconds, 0))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours >= 48:
        return f"{hours // 24} d"
    if hours:
        return f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {whole % 60:02} s"
    return f"{whole} s" if whole >= 10 else f"{max(seconds, 0):.1f} s"


def size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
