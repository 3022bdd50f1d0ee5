"""Hand-made layouts and states: short to write, with the defaults that most tests want.

    layout = make_layout(make_pipeline("gate", projects={"lib/alpha": ("unit", "docs")}))
    state = make_state()
    first = add_item(state, layout, make_change("4710", "2"), "gate")
    add_build(first, "unit", result="SUCCESS", number=88)

Times are epoch seconds and start at EPOCH.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid5

from zuul_launcher.model.change import Account, Change, Ref, Subject
from zuul_launcher.model.layout import Job, JobNode, Layout, Pipeline, Project
from zuul_launcher.model.queue import Build, BuildSet, Item, PipelineState, Queue, State
from zuul_launcher.model.reading import places

EPOCH = 1_500_000_000.0
ANN = Account(name="Ann", email="ann@example.net", username="ann")
_UUIDS = UUID(int=1)


def make_change(number: str = "4710", patchset: str = "2", project: str = "lib/alpha", **fields: Any) -> Change:
    values: dict[str, Any] = {
        "connection": "gerrit",
        "project": project,
        "branch": "main",
        "number": number,
        "patchset": patchset,
        "ref": f"refs/changes/{number[-2:].zfill(2)}/{number}/{patchset}",
        "url": f"https://review.example.net/{number}",
        "owner": ANN,
    }
    return Change(**values | fields)


def make_ref(ref: str = "refs/heads/main", newrev: str = "2" * 40, project: str = "lib/alpha", **fields: Any) -> Ref:
    values: dict[str, Any] = {
        "connection": "gerrit",
        "project": project,
        "ref": ref,
        "oldrev": "1" * 40,
        "newrev": newrev,
    }
    return Ref(**values | fields)


def make_pipeline(name: str = "gate", kind: str = "dependent", **fields: Any) -> Pipeline:
    return Pipeline(name=name, kind=kind, **fields)  # type: ignore[arg-type]  # tests write the two kinds as texts


def tree(*jobs: str | tuple[Any, ...]) -> tuple[JobNode, ...]:
    """`tree("a", ("b", "c"))`: a and b at the top, c under b."""
    return tuple(JobNode(job) if isinstance(job, str) else JobNode(job[0], tree(*job[1:])) for job in jobs)


def make_layout(
    *pipelines: Pipeline,
    trees: Mapping[str, Mapping[str, tuple[JobNode, ...]]] | None = None,
    jobs: Iterable[Job] = (),
) -> Layout:
    """trees: project -> pipeline -> tree. Jobs that are only named in trees get their defaults."""
    trees = trees or {}
    named = {job.name: job for job in jobs}
    for job, _ in (
        place for by_pipeline in trees.values() for nodes in by_pipeline.values() for place in places(nodes)
    ):
        named.setdefault(job, Job(name=job))
    return Layout(
        pipelines={pipeline.name: pipeline for pipeline in pipelines},
        jobs=named,
        projects={name: Project(name=name, pipelines=dict(by_pipeline)) for name, by_pipeline in trees.items()},
    )


def make_state(**fields: Any) -> State:
    return State(epoch="test", last_reconfigured=EPOCH, **fields)


def add_item(
    state: State, layout: Layout, subject: Subject, pipeline: str = "gate", *, queue: str | None = None, **fields: Any
) -> Item:
    """Put a subject at the end of a queue (its project's name, or the shared queue's), behind the last item there.

    The jobs are all of its tree, unless given. `ahead=None` starts a new head.
    """
    state.subjects[subject.key] = subject
    state.sequence += 1
    shared = layout.pipelines[pipeline].shared_queues.get(subject.project)
    line = _queue(state, layout.pipelines[pipeline], queue or shared or subject.project)
    project = layout.projects.get(subject.project)
    nodes = project.pipelines.get(pipeline, ()) if project else ()
    live = fields.get("live", True)
    values: dict[str, Any] = {
        "id": f"test-{state.sequence}",
        "pipeline": pipeline,
        "subject": subject.key,
        "enqueued_at": EPOCH + state.sequence,
        "ahead": line.items[-1] if line.items else None,
        "jobs": tuple(dict.fromkeys(job for job, _ in places(nodes))) if live else (),
        "build_set": BuildSet(ref="Z" + uuid5(_UUIDS, f"{state.sequence}").hex, merge="done", commit="c" * 40),
    }
    item = Item(**values | fields)
    state.items[item.id] = item
    line.items.append(item.id)
    return item


def add_build(item: Item, job: str, *, voting: bool = True, **fields: Any) -> Build:
    """A build that was launched; give `result` (and times) to end it."""
    build = Build(
        uuid=uuid5(_UUIDS, f"{item.id} {job}").hex,
        job=job,
        voting=voting,
        run=1,
        tries=1,
        launched_at=item.enqueued_at,
        **fields,
    )
    item.build_set.builds[job] = build
    return build


def _queue(state: State, pipeline: Pipeline, name: str) -> Queue:
    queues = state.pipelines.setdefault(pipeline.name, PipelineState()).queues
    for queue in queues:
        if queue.name == name and pipeline.kind == "dependent":
            return queue
    queues.append(Queue(name=name, window=pipeline.window.start if pipeline.kind == "dependent" else 0))
    return queues[-1]
