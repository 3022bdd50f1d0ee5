"""What the JSON addresses say: pure, plain data in. Keys are never taken away."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from zuul_launcher.worker.pages.sanitise import sanitised
from zuul_launcher.worker.pages.view import BuildView, NodeView
from zuul_launcher.worker.parts import BuildRecord
from zuul_launcher.worker.places import build_address, page_url


def encoded(document: Any) -> bytes:
    """As JSON. Lone surrogates, as in names of files and parameters, become `?`: strict readers refuse them."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode(errors="replace") + b"\n"


def duration(record: BuildRecord, now: float) -> float:
    """Seconds; of a build that runs, so far."""
    end = now if record.finished_at is None else record.finished_at
    return max(0.0, end - record.started_at)


def brief(record: BuildRecord, root_url: str | None, now: float) -> dict[str, Any]:
    """A build in a list."""
    return {
        "name": record.job,
        "number": record.number,
        "result": record.result,
        "building": record.finished_at is None,
        "url": page_url(root_url, build_address(record.job, record.number)),
        "node_name": record.node,
        "started_at": record.started_at,
        "duration": round(1000 * duration(record, now)),
        "estimated_ms": record.estimated,
    }


def whole(
    record: BuildRecord, root_url: str | None, now: float, files: Sequence[tuple[str, int]], is_cut: bool
) -> dict[str, Any]:
    """A build by itself. `files`: (path, size) of its artifacts; `is_cut`: there are more."""
    short = brief(record, root_url, now)
    places = ("name", "number", "result", "building", "url")
    return {
        **{key: short.pop(key) for key in places},
        "description": sanitised(record.description),
        **short,
        "worker": record.worker,
        "uuid": record.unique,
        "params": dict(record.parameters),
        "artifacts": [{"path": path, "size": size} for path, size in files],
        "artifacts_cut": is_cut,
        "tests": None if record.tests is None else test_counts(record.tests),
    }


def test_counts(tests: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers only: the rest is at testReport/api/json."""
    return {name: value for name, value in tests.items() if isinstance(value, int | float)}


def node(one: NodeView, running: Sequence[BuildView]) -> dict[str, Any]:
    """A node, with the builds on it."""
    builds = [{"name": build.job, "number": build.number} for build in running if build.node == one.name]
    return {**msgspec.structs.asdict(one), "labels": sorted(one.labels), "builds": builds}
