"""Merges over Gearman: `merger:merge` and `merger:update`.

Rules
1. An answer is posted once for each item and attempt; a newer attempt of an item makes an older one forgotten.
2. A merger that fails, or answers nonsense, is asked again after growing delays, a few times; then the item cannot be
   merged.
3. A connection that broke costs no try, and a merge waits without limit for a merger to come: both are said once in
   the log.
4. Our server is given a unique, so that a merge that was asked for before a connection broke, or by an earlier
   process, is joined. No other server: gearmand would never run a unique whose client had left. Merging twice does no
   harm.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from zuul_launcher.gearman.client import Client, Kind, ServerKind, Submission, Word
from zuul_launcher.gearman.link import log
from zuul_launcher.gearman.results import LIST_LIMIT, TEXT_LIMIT, clean
from zuul_launcher.model.events import AnyEvent, Merged
from zuul_launcher.model.layout import Precedence

DELAYS = (2.0, 8.0, 30.0, 80.0)  # seconds between tries; one try more than there are delays
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(eq=False, slots=True)
class _OpenMerge:
    item: str
    attempt: int
    job: Submission
    tries: int = 0
    submitted: bool = False  # on this connection
    handle: str | None = None
    latest: bytes = b""


class Merges:
    """All merges of this process that are not answered yet."""

    def __init__(
        self,
        client: Client,
        post: Callable[[AnyEvent], None],
        clock: Callable[[], float],
        *,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        self._client = client
        self._post = post
        self._clock = clock
        self._delays = delays
        self._open: dict[tuple[str, int], _OpenMerge] = {}
        self._said_no_merger = False
        client.subscribe(self._connection_changed)

    # For all threads

    def merge(
        self, item: str, attempt: int, function: str, payload: dict[str, Any], precedence: Precedence = "normal"
    ) -> None:
        """Ask for it, now or as soon as there is a connection. Nothing is kept over a restart: ask again then."""
        job = Submission(function, json.dumps(payload).encode(), precedence=precedence)
        self._client.call(partial(self._add, _OpenMerge(item, attempt, job)))

    def forget(self, item: str, attempt: int) -> None:
        """This attempt is of no more interest, nor are older ones."""
        self._client.call(partial(self._forget, item, attempt))

    # On the client's thread

    def _add(self, merge: _OpenMerge) -> None:
        if (merge.item, merge.attempt) in self._open:
            return
        self._forget(merge.item, merge.attempt - 1)
        self._open[merge.item, merge.attempt] = merge
        self._submit(merge)

    def _forget(self, item: str, attempt: int) -> None:
        for merge in [one for one in self._open.values() if one.item == item and one.attempt <= attempt]:
            del self._open[merge.item, merge.attempt]
            if merge.handle is not None:
                self._client.cancel(merge.handle, lambda answer: None)
                self._client.forget(merge.handle)

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            for merge in list(self._open.values()):
                self._submit(merge)

    def _submit(self, merge: _OpenMerge) -> None:
        if merge.submitted or not self._client.connected or not self._is_open(merge):
            return
        merge.submitted, merge.latest = True, b""
        unique = f"merge-{merge.item}-{merge.attempt}" if self._client.kind is ServerKind.OURS else ""
        self._client.submit(replace(merge.job, unique=unique), partial(self._hear, merge))
        if not self._client.functions.get(merge.job.function):
            self._client.ask_functions(partial(self._say_if_no_merger, merge.job.function))

    def _say_if_no_merger(self, function: str, lines: list[str] | None) -> None:
        if lines is not None and not self._client.functions.get(function) and not self._said_no_merger:
            self._said_no_merger = True
            log.warning("no merger offers %s at %s: items wait until there is one", function, self._client.address)

    def _hear(self, merge: _OpenMerge, word: Word) -> None:
        if word.kind is Kind.LOST:
            merge.submitted, merge.handle = False, None
        if not self._is_open(merge):
            if word.kind is Kind.CREATED:  # forgotten before the server answered
                self._client.cancel(word.data.decode("latin-1"), lambda answer: None)
            return
        match word.kind:
            case Kind.CREATED:
                merge.handle = word.data.decode("latin-1")
            case Kind.DATA | Kind.WARNING:
                merge.latest = word.data or merge.latest
            case Kind.COMPLETE:
                self._answered(merge, word.data or merge.latest)
            case Kind.FAIL:
                self._failed(merge, "the merger failed or lost its connection")
            case Kind.EXCEPTION | Kind.REFUSED:
                self._failed(merge, clean(word.data.decode(errors="replace"), TEXT_LIMIT))

    def _answered(self, merge: _OpenMerge, data: bytes) -> None:
        answer = read(merge.job.function, data)
        if isinstance(answer, str):
            self._failed(merge, answer)
            return
        self._said_no_merger = False
        self._finish(merge, **answer)

    def _failed(self, merge: _OpenMerge, reason: str) -> None:
        merge.submitted, merge.handle = False, None
        merge.tries += 1
        log.warning("merge of item %s, attempt %d, failed: %s", merge.item, merge.attempt, reason)
        if merge.tries > len(self._delays):
            self._finish(merge, ok=False, commit=None, error=reason)
        else:
            self._client.call_later(self._delays[merge.tries - 1], partial(self._submit, merge))

    def _finish(self, merge: _OpenMerge, **answer: Any) -> None:
        del self._open[merge.item, merge.attempt]
        self._post(Merged(at=self._clock(), item=merge.item, attempt=merge.attempt, **answer))

    def _is_open(self, merge: _OpenMerge) -> bool:
        return self._open.get((merge.item, merge.attempt)) is merge


def read(function: str, data: bytes) -> dict[str, Any] | str:
    """The fields of Merged that a merger's answer gives, or what is wrong with it."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        return f"the merger sent data that is not JSON: {clean(str(error), TEXT_LIMIT)}"
    if not isinstance(said, dict):
        return "the merger sent no JSON object"
    zuul_url, error_text, conflicts = said.get("zuul_url"), said.get("error"), said.get("conflicts")
    answer: dict[str, Any] = {
        "zuul_url": clean(zuul_url, TEXT_LIMIT) if isinstance(zuul_url, str) else None,
        "error": clean(error_text, TEXT_LIMIT) if isinstance(error_text, str) else None,
    }
    if function == "merger:update":
        return answer | {"ok": said.get("updated") is True, "commit": None}
    if isinstance(conflicts, list):
        names = [clean(name, TEXT_LIMIT) for name in conflicts[:LIST_LIMIT] if isinstance(name, str)]
        answer["conflicts"] = tuple(names)
    commit = said.get("commit")
    if said.get("merged") is not True:
        return answer | {"ok": False, "commit": None}
    if not isinstance(commit, str) or not _REVISION.fullmatch(commit):
        return "the merger says that it merged, but sent no commit"
    return answer | {"ok": True, "commit": commit}
