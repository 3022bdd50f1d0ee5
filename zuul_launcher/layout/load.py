"""layout.yaml -> `model.Layout`, or everything that is wrong with it at once. Reads files, runs nothing."""

import hashlib
from collections.abc import Mapping as Dictionary
from pathlib import Path

import msgspec
from msgspec import Struct

from zuul_launcher.layout import jobtree
from zuul_launcher.layout.files import MALFORMED, join_files
from zuul_launcher.layout.includes import read_includes
from zuul_launcher.layout.jobs import JobEntries, read_jobs
from zuul_launcher.layout.pipelines import read_pipelines
from zuul_launcher.layout.projects import ProjectReading
from zuul_launcher.layout.queues import shared_queues
from zuul_launcher.model.layout import Job, Layout, Pipeline, Project
from zuul_launcher.yamlfile.problems import FileErrors, Problem, Problems
from zuul_launcher.yamlfile.reading import REQUIRED, Reading
from zuul_launcher.yamlfile.tree import Node, Sequence, parse_file

_REQUIRED = ("pipelines", "projects")


class Loaded(Struct, frozen=True):
    layout: Layout
    warnings: tuple[Problem, ...]  # what is accepted, but does not do what it seems to
    entries: int  # job entries after expansion, before those of one name are joined


def load(path: Path, connections: Dictionary[str, str]) -> Loaded:
    """The layout in `path`. `connections`: name -> driver (gerrit, smtp, sql), what triggers and reporters may name.

    Raises FileErrors with all mistakes of the layout and of the python files that it includes.
    """
    problems = Problems(str(path), MALFORMED)
    node = parse_file(path, problems)
    read = _read(Reading(problems), node, path, dict(connections)) if node else None
    if problems.errors or read is None:
        raise FileErrors(problems.errors)
    layout, entries = read
    return Loaded(layout, problems.warnings, entries)


def content_hash(layout: Layout) -> str:
    """SHA-256 (hex) of all that the layout says and of its includes, as they are on disk now."""
    digest = hashlib.sha256(msgspec.json.encode(layout))
    for include in layout.includes:
        try:
            content = Path(include).read_bytes()
        except OSError:
            content = b""
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _read(reading: Reading, root: Node, path: Path, connections: dict[str, str]) -> tuple[Layout, int] | None:
    joined = join_files(reading, root, path)
    if joined is None:
        return None
    sections = joined.sections
    for key in _REQUIRED:
        if key not in sections:
            reading.refuse(root, f"{REQUIRED}: {key!r}")
    includes, functions = read_includes(reading, joined.includes, path)
    pipelines = read_pipelines(reading, sections["pipelines"], connections) if "pipelines" in sections else {}
    entries = read_jobs(reading, sections.get("jobs"), functions)
    project_reading = ProjectReading(
        reading, list(pipelines) if isinstance(sections.get("pipelines"), Sequence) else None
    )
    if "project-templates" in sections:
        project_reading.read_templates(sections["project-templates"])
    projects = project_reading.read_projects(sections["projects"]) if "projects" in sections else {}
    jobs = _jobs(projects, entries)
    layout = Layout(
        pipelines={name: _with_queues(one, projects, jobs, entries, reading) for name, one in pipelines.items()},
        jobs=jobs,
        projects=projects,
        includes=includes,
    )
    return layout, project_reading.entries


def _jobs(projects: dict[str, Project], entries: JobEntries) -> dict[str, Job]:
    """The definition of every job that a tree names, in the order in which they are met."""
    names: dict[str, None] = {}
    seen: set[int] = set()
    for project in projects.values():
        for tree in project.pipelines.values():
            if id(tree) not in seen:
                seen.add(id(tree))
                jobtree.names_in(tree, names)
    return {name: entries.job(name) for name in names}


def _with_queues(
    pipeline: Pipeline, projects: dict[str, Project], jobs: dict[str, Job], entries: JobEntries, reading: Reading
) -> Pipeline:
    if pipeline.kind == "independent":
        return pipeline
    queues = shared_queues(pipeline.name, projects, jobs, entries.queue_name_at, reading.problems)
    return msgspec.structs.replace(pipeline, shared_queues=queues)
