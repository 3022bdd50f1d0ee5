"""Builds for tests of the history and of its pages."""

from typing import Any

import msgspec

from zuul_launcher.worker.history.history import SqlHistory
from zuul_launcher.worker.parts import BuildRecord

EPOCH = 1_790_000_000.0


def starting(job: str = "unit", **fields: Any) -> BuildRecord:
    """A build that has no number yet."""
    known = {"unique": "u-1", "node": "trusty-1", "worker": "trusty-1_exec-0", "started_at": EPOCH} | fields
    return BuildRecord(job=job, number=0, **known)


def ran(
    history: SqlHistory, job: str = "unit", result: str | None = "SUCCESS", seconds: float = 10, **fields: Any
) -> BuildRecord:
    """Begin it and end it; the record as it is stored."""
    ends = {name: fields.pop(name) for name in ("final", "tests") if name in fields}
    begun = history.begin(starting(job, **fields))
    ended = msgspec.structs.replace(
        begun, **{"finished_at": begun.started_at + seconds, "result": result, "final": b"{}"} | ends
    )
    history.finish(ended)
    return ended
