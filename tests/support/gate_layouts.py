"""Layouts for playing with the gate: two projects that share a queue, one apart, one that only checks."""

from typing import Any

from msgspec.structs import replace

from zuul_launcher.model.layout import GerritFilter, Job, JobNode, Layout, Pipeline, Project, Reporter, Window
from zuul_launcher.model.reading import places

VOTES = (Reporter(connection="gerrit", options={"verified": 2, "submit": True}),)
COMMENT = (Reporter(connection="gerrit", options={}),)


def trigger(type_: str) -> GerritFilter:
    return GerritFilter(connection="gerrit", events=(type_,))


def gate_layout(window: int = 3, floor: int = 1) -> Layout:
    """gate: A and B share the queue `AB`, C is alone. check: all of them, and D. Job `last` has a mutex."""
    gate = Pipeline(
        name="gate",
        kind="dependent",
        precedence="high",
        triggers=(trigger("comment-added"),),
        start=COMMENT,
        success=VOTES,
        failure=COMMENT,
        merge_failure=COMMENT,
        window=Window(start=window, floor=floor),
        shared_queues={"A": "AB", "B": "AB", "C": "C"},
    )
    check = Pipeline(
        name="check",
        kind="independent",
        triggers=(trigger("patchset-created"),),
        success=COMMENT,
        failure=COMMENT,
        merge_failure=COMMENT,
    )
    jobs = [
        Job(name="first"),
        Job(name="unit"),
        Job(name="style", voting=False),
        Job(name="last", mutex="lock"),
        Job(name="noop"),
    ]
    tree = (JobNode("first", (JobNode("unit"), JobNode("style"))), JobNode("last"))
    projects = [
        Project(name="A", pipelines={"gate": tree, "check": tree}),
        Project(name="B", pipelines={"gate": (JobNode("unit"), JobNode("style")), "check": (JobNode("unit"),)}),
        Project(name="C", pipelines={"gate": (JobNode("noop"),), "check": (JobNode("unit"),)}),
        Project(name="D", pipelines={"check": (JobNode("unit"),)}),
    ]
    return Layout(
        pipelines={one.name: one for one in (gate, check)},
        jobs={job.name: job for job in jobs},
        projects={project.name: project for project in projects},
    )


def without_project(layout: Layout, name: str) -> Layout:
    projects = {key: project for key, project in layout.projects.items() if key != name}
    gate = layout.pipelines["gate"]
    queues = {project: queue for project, queue in gate.shared_queues.items() if project != name}
    return replace(
        layout, projects=projects, pipelines={**layout.pipelines, "gate": replace(gate, shared_queues=queues)}
    )


def without_job(layout: Layout, job: str) -> Layout:
    def prune(nodes: tuple[JobNode, ...]) -> tuple[JobNode, ...]:
        return tuple(JobNode(node.job, prune(node.children)) for node in nodes if node.job != job)

    projects = {
        name: replace(project, pipelines={pipeline: prune(tree) for pipeline, tree in project.pipelines.items()})
        for name, project in layout.projects.items()
    }
    return replace(layout, projects=projects)


def with_queues(layout: Layout, **shared_queues: str) -> Layout:
    """Project -> the queue that it goes to in the gate."""
    return with_pipeline(layout, "gate", shared_queues=shared_queues)


def without_pipeline(layout: Layout, name: str) -> Layout:
    pipelines = {key: pipeline for key, pipeline in layout.pipelines.items() if key != name}
    return replace(layout, pipelines=pipelines)


def scenario_layout(*, window: Window | None = None, jobs: tuple[Job, ...] = (), **gate_fields: Any) -> Layout:
    """The layout that most scenarios are told in: check, post and gate; P by itself; P1 and P2 share a queue.

    P: `m` holds those behind, then t1, t2, and `tf` for some files. P1 and P2: m, then t1, t2, integration.
    """
    check = Pipeline(
        name="check",
        kind="independent",
        triggers=(trigger("patchset-created"),),
        success=(Reporter(connection="gerrit", options={"verified": 1}),),
        failure=(Reporter(connection="gerrit", options={"verified": -1}),),
        merge_failure=COMMENT,
    )
    post = Pipeline(
        name="post",
        kind="independent",
        triggers=(GerritFilter(connection="gerrit", events=("ref-updated",), refs=(r"^(?!refs/).*$",)),),
    )
    gate = Pipeline(
        name="gate",
        kind="dependent",
        precedence="high",
        triggers=(GerritFilter(connection="gerrit", events=("comment-added",), approvals={"approved": 1}),),
        start=(Reporter(connection="gerrit", options={"verified": 0}),),
        success=VOTES,
        failure=(Reporter(connection="gerrit", options={"verified": -2}),),
        merge_failure=(Reporter(connection="gerrit", options={"verified": -2}),),
        window=window or Window(),
        shared_queues={"P": "P", "P1": "integrated", "P2": "integrated", "Q": "Q"},
    )
    gate = replace(gate, **gate_fields)
    trees = {"P": _tree("P", "tf"), "P1": _tree("P1", "integration"), "P2": _tree("P2", "integration")}
    trees["Q"] = (JobNode("Q-only"),)
    known = [
        *(Job(name=f"{project}-m", hold_following_changes=True) for project in ("P", "P1", "P2")),
        *(Job(name=f"{project}-{test}") for project in ("P", "P1", "P2") for test in ("t1", "t2")),
        Job(name="integration"),
        Job(name="P-tf", files=(r".*-requires",)),
        Job(name="P-post"),
        Job(name="Q-only"),
        Job(name="noop"),
        *jobs,
    ]
    projects = {name: Project(name=name, pipelines={"check": tree, "gate": tree}) for name, tree in trees.items()}
    projects["P"].pipelines["post"] = (JobNode("P-post"),)
    return Layout(
        pipelines={one.name: one for one in (check, post, gate)},
        jobs={job.name: job for job in known},
        projects=projects,
    )


def _tree(project: str, extra: str) -> tuple[JobNode, ...]:
    last = extra if extra == "integration" else f"{project}-{extra}"
    return (JobNode(f"{project}-m", (JobNode(f"{project}-t1"), JobNode(f"{project}-t2"), JobNode(last))),)


def with_tree(layout: Layout, project: str, *nodes: JobNode, pipelines: tuple[str, ...] = ("check", "gate")) -> Layout:
    """Another job tree for one project. Jobs that are new get their defaults."""
    jobs = {job: Job(name=job) for job, _ in places(nodes) if job not in layout.jobs}
    known = layout.projects.get(project, Project(name=project))
    trees = {**known.pipelines, **dict.fromkeys(pipelines, nodes)}
    return replace(
        layout,
        jobs={**layout.jobs, **jobs},
        projects={**layout.projects, project: replace(known, pipelines=trees)},
    )


def with_job(layout: Layout, name: str, **fields: Any) -> Layout:
    """Other settings for one job."""
    return replace(layout, jobs={**layout.jobs, name: replace(layout.jobs.get(name, Job(name=name)), **fields)})


def with_pipeline(layout: Layout, name: str, **fields: Any) -> Layout:
    """Other settings for one pipeline."""
    return replace(layout, pipelines={**layout.pipelines, name: replace(layout.pipelines[name], **fields)})
