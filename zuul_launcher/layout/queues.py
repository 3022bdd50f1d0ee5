"""Shared queues of a dependent pipeline: projects that have a job in common are gated together, transitively.

`noop` is no job in common. A queue has the `queue-name` of its jobs, else the names of its projects.
"""

from collections.abc import Iterator, Mapping

from zuul_launcher.layout.jobs import NOOP
from zuul_launcher.model.layout import Job, JobNode, Project
from zuul_launcher.yamlfile.problems import Placed, Problems


def shared_queues(
    pipeline: str,
    projects: dict[str, Project],
    jobs: dict[str, Job],
    queue_name_at: Mapping[str, Placed],
    problems: Problems,
) -> dict[str, str]:
    """Project -> name of its queue, sorted by project; without those that have no jobs in the pipeline."""
    jobs_of = {
        name: {job for job in _jobs_in(projects[name].pipelines[pipeline]) if job != NOOP}
        for name in sorted(projects)
        if projects[name].pipelines.get(pipeline)
    }
    names: dict[str, str] = {}
    taken: set[str] = set()
    for members in _joined(jobs_of):
        name = _named(members, jobs_of, jobs, queue_name_at, problems) or ", ".join(members)
        if name in taken:  # jobs of unrelated projects have one queue-name: two queues all the same, as in v2
            name = f"{name} ({members[0]})"
        taken.add(name)
        names |= dict.fromkeys(members, name)
    return {project: names[project] for project in jobs_of}


def _jobs_in(nodes: tuple[JobNode, ...]) -> Iterator[str]:
    for node in nodes:
        yield node.job
        yield from _jobs_in(node.children)


def _joined(jobs_of: dict[str, set[str]]) -> list[list[str]]:
    """Groups of projects, in the order of their first members."""
    first: dict[str, str] = {project: project for project in jobs_of}

    def group(project: str) -> str:
        while first[project] != project:
            first[project] = project = first[first[project]]
        return project

    holder: dict[str, str] = {}
    for project, jobs in jobs_of.items():
        for job in jobs:
            mine, other = group(project), group(holder.setdefault(job, project))
            first[max(mine, other)] = min(mine, other)
    groups: dict[str, list[str]] = {}
    for project in jobs_of:
        groups.setdefault(group(project), []).append(project)
    return list(groups.values())


def _named(
    members: list[str],
    jobs_of: dict[str, set[str]],
    jobs: dict[str, Job],
    queue_name_at: Mapping[str, Placed],
    problems: Problems,
) -> str | None:
    named = {job for project in members for job in jobs_of[project] if jobs[job].queue_name is not None}
    found: str | None = None
    for job in sorted(named, key=lambda job: (queue_name_at[job].line, job)):
        name = jobs[job].queue_name
        if found is not None and name != found:
            text = f"More than one name assigned to change queue: {found} != {name}"
            problems.refuse(queue_name_at[job], text, f"{members[0]} and {members[-1]} share jobs: one name for both")
        found = found or name
    return found
