"""The status document, v2's status.json (behaviour.md §7.2): pure, State -> plain data.

Every key of v2 is there with v2's units (milliseconds and seconds, as listed there). Ours adds one top-level key,
`errors`: texts about what an operator should look at.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from zuul_launcher.model.change import Account, Change
from zuul_launcher.model.layout import Layout, Pipeline
from zuul_launcher.model.queue import Build, Item, Queue, State, Worker
from zuul_launcher.model.reading import is_voting, results, subject_of
from zuul_launcher.report.text import ParametersOf, job_url

Document = dict[str, Any]


def _no_parameters(_uuid: str) -> Mapping[str, Any]:
    return {}


class View(Struct, frozen=True, kw_only=True):
    """What the document shows besides the state."""

    now: float  # epoch seconds
    version: str
    message: str | None = None  # shown while the service is about to leave
    trigger_events: int = 0  # waiting
    result_events: int = 0  # waiting
    url_pattern: str | None = None
    parameters: ParametersOf = field(default=_no_parameters)
    errors: tuple[str, ...] = ()  # layout errors, parked events, lost connections


def document(state: State, layout: Layout, view: View) -> Document:
    """The whole of status.json."""
    shown: Document = {"zuul_version": view.version}
    if view.message:
        shown["message"] = view.message
    shown["trigger_event_queue"] = {"length": view.trigger_events}
    shown["result_event_queue"] = {"length": view.result_events}
    if state.last_reconfigured is not None:
        shown["last_reconfigured"] = int(state.last_reconfigured * 1000)
    shown["errors"] = list(view.errors)
    shown["pipelines"] = [_pipeline(state, layout, view, pipeline) for pipeline in layout.pipelines.values()]
    return shown


def encode(shown: Document | list[Document]) -> bytes:
    """As it goes over the wire: JSON, UTF-8."""
    return msgspec.json.encode(shown)


def items(shown: Document, id: str | None = None) -> list[Document]:
    """The items of a document, of all pipelines; only those of this id (`N,P`) if it is given."""
    return [
        item
        for pipeline in shown["pipelines"]
        for queue in pipeline["change_queues"]
        for head in queue["heads"]
        for item in head
        if id is None or item["id"] == id
    ]


def running_jobs(state: State, layout: Layout, view: View) -> list[Document]:
    """The answer to `zuul:get_running_jobs`: all items; v2 leaves `url_pattern` out of their `report_url`."""
    return items(document(state, layout, msgspec.structs.replace(view, url_pattern=None)))


def _pipeline(state: State, layout: Layout, view: View, pipeline: Pipeline) -> Document:
    return {
        "name": pipeline.name,
        "description": pipeline.description,
        "change_queues": [
            {
                "name": queue.name,
                "window": queue.window if pipeline.kind == "dependent" else 0,
                "heads": _heads(state, layout, view, queue),
            }
            for queue in _queues(state, pipeline)
        ],
    }


def _queues(state: State, pipeline: Pipeline) -> list[Queue]:
    """Those in use; of a dependent pipeline also the shared queues that stand empty, in the order of the layout."""
    known = state.pipelines[pipeline.name].queues if pipeline.name in state.pipelines else []
    if pipeline.kind == "independent":
        return known
    by_name = {name: Queue(name=name, window=pipeline.window.start) for name in pipeline.shared_queues.values()}
    return list((by_name | {queue.name: queue for queue in known}).values())


def _heads(state: State, layout: Layout, view: View, queue: Queue) -> list[list[Document]]:
    """The queue, cut before each item that has no item ahead."""
    behind: dict[str, list[str]] = {}
    for name in queue.items:
        ahead = state.items[name].ahead
        if ahead is not None:
            behind.setdefault(ahead, []).append(subject_of(state, state.items[name]).id)
    heads: list[list[Document]] = []
    for position, name in enumerate(queue.items):
        item = state.items[name]
        shown = _item(state, layout, view, item)
        shown["active"] = queue.window == 0 or position < queue.window
        shown["items_behind"] = behind.get(name, [])
        if item.ahead is None or not heads:
            heads.append([])
        elif shown["remaining_time"] is not None and heads[-1][-1]["remaining_time"] is not None:
            shown["remaining_time"] = max(shown["remaining_time"], heads[-1][-1]["remaining_time"])
        heads[-1].append(shown)
    return heads


def _item(state: State, layout: Layout, view: View, item: Item) -> Document:
    """An item, without what its queue decides (`active`, `items_behind`)."""
    subject = subject_of(state, item)
    ahead = state.items.get(item.ahead) if item.ahead is not None else None
    outcome = results(layout, state, item)
    jobs = [_job(state, layout, view, item, name, result) for name, result in outcome.items()]
    return {
        "id": subject.id or None,
        "url": subject.url or None,
        "project": subject.project or "Unknown Project",
        "owner": _owner(subject.owner) if isinstance(subject, Change) else None,
        "live": item.live,
        "item_ahead": subject_of(state, ahead).id if ahead else None,
        "failing_reasons": list(item.build_set.failing_reasons),
        "zuul_ref": item.build_set.ref,
        "enqueue_time": int(item.enqueued_at * 1000),
        "remaining_time": _longest(jobs),
        "jobs": jobs,
    }


def _owner(owner: Account | None) -> Document | None:
    return {"name": owner.name, "email": owner.email, "username": owner.username} if owner else None


def _longest(jobs: list[Document]) -> int | None:
    """How long the item will take: unknown until each of its jobs has started (or will not run any more)."""
    if not jobs or any(job["start_time"] is None and job["result"] is None for job in jobs):
        return None
    return max(job["remaining_time"] or 0 for job in jobs)


def _job(state: State, layout: Layout, view: View, item: Item, name: str, result: str | None) -> Document:
    build = item.build_set.builds.get(name)
    settled = build is not None or result is not None  # what v2 calls "has a build": SKIPPED counts
    elapsed, remaining = _times(build, view.now) if build else (None, None)
    return {
        "name": name,
        "voting": is_voting(layout, item, name),
        "result": result,
        "url": build.url if build else None,
        "report_url": job_url(
            layout, state, item, name, result, url_pattern=view.url_pattern, parameters=view.parameters
        )
        if settled
        else None,
        "elapsed_time": elapsed,
        "remaining_time": remaining,
        "estimated_time": build.estimate if build else None,
        "launch_time": build.launched_at if build else None,
        "start_time": build.started_at if build else None,
        "end_time": build.ended_at if build else None,
        "uuid": build.uuid if build else None,
        "number": build.number if build else None,
        "pipeline": item.pipeline if build else None,
        "canceled": result == "CANCELED" if settled else None,
        "retry": False if settled else None,  # a build that is to be run again is replaced at once
        "node_labels": list(build.node_labels) if build else [],
        "node_name": build.node_name if build else None,
        "worker": _worker((build.worker if build else None) or Worker()) if settled else None,
    }


def _times(build: Build, now: float) -> tuple[int | None, int | None]:
    """Elapsed and remaining, in milliseconds."""
    if build.started_at is None:
        return None, None
    if build.ended_at is not None:
        return max(int((build.ended_at - build.started_at) * 1000), 0), 0
    elapsed = max(int((now - build.started_at) * 1000), 0)
    return elapsed, max(int(build.estimate * 1000) - elapsed, 0) if build.estimate else None


def _worker(worker: Worker) -> Document:
    return {
        "name": worker.name,
        "hostname": worker.hostname,
        "ips": list(worker.ips),
        "fqdn": worker.fqdn,
        "program": worker.program,
        "version": worker.version,
        "extra": dict(worker.extra),
    }
