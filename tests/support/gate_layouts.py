"""Layouts for playing with the gate: two projects that share a queue, one apart, one that only checks."""

from msgspec.structs import replace

from zuul_launcher.model.layout import GerritFilter, Job, JobNode, Layout, Pipeline, Project, Reporter, Window

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


def without_pipeline(layout: Layout, name: str) -> Layout:
    pipelines = {key: pipeline for key, pipeline in layout.pipelines.items() if key != name}
    return replace(layout, pipelines=pipelines)
