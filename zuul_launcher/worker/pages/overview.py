"""The pages about more than one build: the manager, a job; and the JSON of nodes, builds and functions."""

import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from zuul_launcher.worker.pages import documents
from zuul_launcher.worker.pages.drawing import Drawing
from zuul_launcher.worker.pages.paths import job_name
from zuul_launcher.worker.pages.serving import document, missing, moved, refusal
from zuul_launcher.worker.pages.view import View
from zuul_launcher.worker.places import folder_name

SHOWN = 100  # builds of a list
MOST = 1000  # that may be asked for at once
_LIMIT = re.compile(r"[0-9]{1,6}", re.ASCII)
_TIME = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


class OverviewPages:
    """Answers what is not about one build."""

    def __init__(self, view: View, drawing: Drawing, clock: Callable[[], float]) -> None:
        self._view = view
        self._drawing = drawing
        self._clock = clock
        self._answers: dict[tuple[str, ...], Callable[[Request], Response]] = {
            ("",): self._manager,
            ("health",): self._health,
            ("api", "nodes"): self._nodes,
            ("api", "builds"): self._builds,
            ("api", "functions"): self._functions,
        }

    def answer(self, request: Request, parts: tuple[str, ...]) -> Response:
        if parts in self._answers:
            return self._answers[parts](request)
        if len(parts) == 3 and parts[0] == "job" and parts[2] == "" and (job := job_name(parts[1])) is not None:
            return self._job(request, job)
        if len(parts) == 2 and parts[0] == "job" and job_name(parts[1]) is not None:
            return moved(folder_name(parts[1]) + "/")
        return missing()

    def _manager(self, request: Request) -> Response:
        running = self._view.running()
        return self._drawing.page(
            "overview.html",
            root="./",
            nodes=[documents.node(node, running) for node in self._view.nodes()],
            running=running,
            builds=self._view.history.recent(limit=SHOWN // 2),
            health=self._view.health(),
            functions=sorted({name for names in self._view.functions().values() for name in names}),
        )

    def _job(self, request: Request, job: str) -> Response:
        before = request.query_params.get("before", "")
        since = float(before) if _TIME.fullmatch(before) else None
        builds = self._view.history.recent(job, limit=SHOWN, before=since)
        if not builds and since is None:
            return missing()
        older = repr(builds[-1].started_at) if len(builds) == SHOWN else None
        return self._drawing.page(
            "job.html",
            root="../../",
            job=job,
            description=self._view.description(job),
            builds=builds,
            running=self._view.running(),
            older=older,
        )

    def _health(self, request: Request) -> Response:
        found = self._view.health()
        return document(found, 200 if found.get("status") == "ok" else 503)

    def _nodes(self, request: Request) -> Response:
        running = self._view.running()
        return document([documents.node(node, running) for node in self._view.nodes()])

    def _functions(self, request: Request) -> Response:
        return document({client: sorted(names) for client, names in sorted(self._view.functions().items())})

    def _builds(self, request: Request) -> Response:
        """`?job=NAME`, `limit=N`, `before=TIME`: newest first; what runs now has its state, too."""
        asked = request.query_params
        limit, before = asked.get("limit", str(SHOWN)), asked.get("before", "0")
        if not _LIMIT.fullmatch(limit) or not _TIME.fullmatch(before):
            return refusal(400, "limit is a number, before a Unix time")
        found = self._view.history.recent(asked.get("job"), min(int(limit), MOST), float(before) or None)
        now, root_url = self._clock(), self._view.root_url
        running = {(build.job, build.number): build for build in self._view.running()}
        answer: list[dict[str, Any]] = []
        for record in found:
            answer.append(documents.brief(record, root_url, now))
            if (build := running.get((record.job, record.number))) is not None:
                answer[-1] |= {key: getattr(build, key) for key in ("state", "step")}
        return document(answer)
