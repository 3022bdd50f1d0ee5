"""What is answered about one build: its page, its JSON, its console and its files."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from zuul_launcher.worker.pages import console, documents
from zuul_launcher.worker.pages.drawing import Drawing
from zuul_launcher.worker.pages.files import File, opened, tree
from zuul_launcher.worker.pages.paths import BuildPath, address, is_file_path
from zuul_launcher.worker.pages.sanitise import sanitised
from zuul_launcher.worker.pages.serving import (
    FRESH,
    UNTRUSTED,
    document,
    file_answer,
    media_type,
    missing,
    moved,
    piece,
    refusal,
)
from zuul_launcher.worker.pages.view import View
from zuul_launcher.worker.parts import BuildRecord
from zuul_launcher.worker.places import BuildFolder, build_folder

TEXT = "text/plain; charset=utf-8"
WORDS = 200  # letters that are searched for
FAILED = 200  # cases that the page shows
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)

Answer = Callable[[Request, BuildRecord, BuildFolder], Response]


class BuildPages:
    """Answers what is below `/job/NAME/NUMBER/`."""

    def __init__(self, view: View, drawing: Drawing, clock: Callable[[], float]) -> None:
        self._view = view
        self._drawing = drawing
        self._clock = clock
        self._answers: dict[tuple[str, ...], Answer] = {
            ("",): self._page,
            ("api", "json"): self._json,
            ("consoleText",): self._text,
            ("console",): self._console,
            ("console", "part"): self._part,
            ("console", "search"): self._search,
            ("logText", "progressiveText"): self._progressive,
            ("testReport", "api", "json"): self._tests,
        }

    def reads_all(self, request: Request, place: BuildPath) -> bool:
        """Does the answer need a look at the whole console?"""
        asked = request.query_params
        return place.rest == ("console", "search") or (
            place.rest == ("console", "part") and "from" not in asked and "before" not in asked
        )

    def answer(self, request: Request, place: BuildPath) -> Response:
        record = self._view.history.find(place.job, place.number)
        if record is None:
            return missing()
        folder = build_folder(self._view.folder, place.job, place.number)
        if place.rest[0] == "artifact":
            return self._artifact(request, record, folder, place.rest[1:])
        answer = self._answers.get(place.rest)
        return missing() if answer is None else answer(request, record, folder)

    def _page(self, request: Request, record: BuildRecord, folder: BuildFolder) -> Response:
        files = opened(folder.artifacts, ())
        return self._drawing.page(
            "build.html",
            root="../../../",
            record=record,
            running=self._view.running(),
            description=sanitised(record.description),
            tests=record.tests,
            shown_cases=FAILED,
            files=files.entries if files else (),
        )

    def _console(self, request: Request, record: BuildRecord, folder: BuildFolder) -> Response:
        running = self._view.running()
        return self._drawing.page("console.html", root="../../../", record=record, running=running)

    def _json(self, request: Request, record: BuildRecord, folder: BuildFolder) -> Response:
        files, is_cut = tree(folder.artifacts)
        return document(documents.whole(record, self._view.root_url, self._clock(), files, is_cut))

    def _tests(self, request: Request, record: BuildRecord, folder: BuildFolder) -> Response:
        return missing() if record.tests is None else document(record.tests)

    def _text(self, request: Request, record: BuildRecord, folder: BuildFolder) -> Response:
        file = opened(folder.path, (folder.console.name,))
        if file is None or file.stream is None:
            return Response(b"", headers={**UNTRUSTED, **FRESH}, media_type=TEXT)
        return file_answer(request, file, TEXT)

    def _progressive(self, request: Request, record: BuildRecord, folder: BuildFolder) -> Response:
        """Bytes from `start` on. Whether it runs was read before the size is: the last bytes are never left out."""
        asked = request.query_params.get("start") or "0"
        if not _NUMBER.fullmatch(asked):
            return refusal(400, "start is a number of bytes")
        headers = {**UNTRUSTED, "Cache-Control": "no-store", "Content-Type": TEXT}
        if record.finished_at is None:
            headers["X-More-Data"] = "true"
        file = opened(folder.path, (folder.console.name,))
        if file is None or file.stream is None:
            return Response(b"", headers={**headers, "X-Text-Size": "0"})
        headers["X-Text-Size"] = str(file.size)
        start = int(asked) if int(asked) <= file.size else 0  # of another console, as Jenkins has it
        return piece(request, file.stream, start, file.size, headers)

    def _part(self, request: Request, record: BuildRecord, folder: BuildFolder) -> Response:
        """For the page: `?from=BYTE`, `?before=BYTE`, `?line=NUMBER`, or the end."""
        asked = {name: request.query_params.get(name) for name in ("from", "before", "line")}
        if any(text is not None and not _NUMBER.fullmatch(text) for text in asked.values()):
            return refusal(400, "from, before and line are numbers")
        file = _stream(folder, folder.console)
        if file is None:
            return document(_told(console.EMPTY, record))
        times = _stream(folder, folder.times)
        try:
            if asked["from"] is not None:
                part = console.after(file, times, int(asked["from"]))
            elif asked["before"] is not None:
                part = console.before(file, times, int(asked["before"]))
            elif asked["line"] is not None:
                part = console.around(file, times, max(1, int(asked["line"])))
            else:
                part = console.tail(file, times)
        finally:
            file.close()
            if times is not None:
                times.close()
        return document(_told(part, record))

    def _search(self, request: Request, record: BuildRecord, folder: BuildFolder) -> Response:
        words = request.query_params.get("q", "")
        if not 0 < len(words) <= WORDS:
            return refusal(400, f"q is what to look for, up to {WORDS} letters")
        file = _stream(folder, folder.console)
        if file is None:
            return document({"matches": [], "more": False})
        with file:
            matches, more = console.search(file, words)
        return document({"matches": [[match.line, match.start] for match in matches], "more": more})

    def _artifact(self, request: Request, record: BuildRecord, folder: BuildFolder, names: tuple[str, ...]) -> Response:
        if not is_file_path(names):
            return missing()
        file = opened(folder.artifacts, [name for name in names if name])
        if file is None:
            return missing()
        if file.stream is None:
            return self._folder(request, record, file, names)
        if names[-1] == "":  # a file is no folder
            file.stream.close()
            return missing()
        return file_answer(request, file, media_type(names[-1]))

    def _folder(self, request: Request, record: BuildRecord, file: File, names: tuple[str, ...]) -> Response:
        if not names or names[-1] != "":
            return moved(address(names[-1] if names else "artifact") + "/")
        return self._drawing.page(
            "folder.html",
            root="../../../" + "../" * len(names),
            record=record,
            names=names[:-1],
            files=file.entries,
            running=self._view.running(),
        )


def _told(part: console.Part, record: BuildRecord) -> dict[str, Any]:
    return {**msgspec.structs.asdict(part), "running": record.finished_at is None}


def _stream(folder: BuildFolder, path: Path) -> BinaryIO | None:
    """A file of ours, as every other: it may be gone, or a link by now."""
    file = opened(folder.path, (path.name,))
    return None if file is None else file.stream
