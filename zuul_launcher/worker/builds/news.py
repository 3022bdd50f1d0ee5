"""What a build tells its client: WORK_DATA at its start and at its end, and how far it is. Pure.

Keys have the order of worker-and-remoting A8. A key that does not apply is absent, but `result` of an end is always
there: null means that the build is to be run again.
"""

import json
from collections.abc import Iterable
from typing import Any

from zuul_launcher.worker.builds.limits import Identity
from zuul_launcher.worker.places import build_address, page_url

WITHOUT_ESTIMATE = (0, 100)


def started(manager: Identity, job: str, number: int, worker: str, node: str, labels: Iterable[str]) -> bytes:
    """The first WORK_DATA. `node`, `labels`: empty if the node is gone."""
    data = _head(manager, job, number, worker) | _node(node, labels) | dict(manager.metadata)
    return _encoded(data)


def ended(
    manager: Identity, job: str, number: int, worker: str, node: str, labels: Iterable[str], result: str | None
) -> bytes:
    """Data of the last WORK_DATA and of WORK_COMPLETE."""
    return _encoded(_head(manager, job, number, worker) | {"result": result} | _node(node, labels))


def progress(elapsed: float, estimated: int | None) -> tuple[int, int]:
    """WORK_STATUS: milliseconds done, of how many. `elapsed`: seconds; never all is done before the end."""
    if not estimated:
        return WITHOUT_ESTIMATE
    return max(0, min(round(elapsed * 1000), estimated - 1)), estimated


def _head(manager: Identity, job: str, number: int, worker: str) -> dict[str, Any]:
    url = page_url(manager.root_url, build_address(job, number))
    head: dict[str, Any] = {"name": job, "number": number, "manager": manager.name, "worker": worker}
    return head if url is None else {**head, "url": url}


def _node(node: str, labels: Iterable[str]) -> dict[str, Any]:
    return {"node_labels": sorted(labels), "node_name": node}


def _encoded(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
