"""All files of definitions -> `Definitions`, or every mistake at once. Reads files, runs nothing."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from zuul_launcher.worker.definitions.jjbcheck import check
from zuul_launcher.worker.definitions.job import Definitions, Job, Place
from zuul_launcher.worker.definitions.jobsfile import JobsFile, read_jobs_file
from zuul_launcher.worker.definitions.jobsteps import Known
from zuul_launcher.worker.definitions.nodesfile import NodesFile, read_nodes_file
from zuul_launcher.worker.definitions.secretsfile import SecretsFile, read_secrets_file
from zuul_launcher.yamlfile.problems import FileErrors, Problem

SUFFIXES = {".yaml", ".yml"}


class Sources(Struct, frozen=True, kw_only=True):
    """Where the definitions are. None: there are no such files."""

    jobs: Path | None = None  # a file, or a folder of them
    nodes: Path | None = None
    secrets: Path | None = None
    jjb: Path | None = None  # a file or folder of Jenkins Job Builder
    jjb_dialect: int = 6  # 4: as Jenkins Job Builder 4 read its files
    ignore: tuple[str, ...] = ()  # parts of JJB definitions that are left out knowingly, as `publisher:afs`


def load(sources: Sources) -> Definitions:
    """Jobs that are wrong are left out, and named in `problems`.

    Raises FileErrors with all mistakes of all files if one of them can not be read as a whole; ConfigurationError if
    there are JJB files, and the library that reads them is missing.
    """
    nodes = read_nodes_file(sources.nodes) if sources.nodes else NodesFile()
    secrets = read_secrets_file(sources.secrets) if sources.secrets else SecretsFile()
    known = Known(sites=tuple(nodes.sites), secrets=secrets.secrets)
    files = _read_jobs(sources.jobs, known) if sources.jobs else JobsFile()
    errors = (*files.errors, *nodes.errors, *secrets.errors)
    if errors:
        raise FileErrors(errors)
    jobs, problems = files.jobs, [str(one) for one in files.refused]
    if sources.jjb:
        report = check(sources.jjb, sources.jjb_dialect, sources.ignore, known)
        problems += [*report.problems, *_twice(jobs, report.jobs)]
        jobs = {**report.jobs, **jobs}
    return Definitions(
        jobs=jobs,
        nodes=nodes.nodes,
        names_nodes=nodes.names_nodes,
        sites=nodes.sites,
        secrets=secrets.secrets,
        problems=tuple(problems),
    )


def _twice(jobs: Mapping[str, Job], others: Mapping[str, Job]) -> list[str]:
    """Jobs of JJB files that jobs.yaml has, too: that one counts."""
    return [
        f"{others[name].place}: job {name!r} is not registered: a second job of this name"
        f" (the first is in {job.place.file}:{job.place.line})"
        for name, job in jobs.items()
        if name in others
    ]


def _read_jobs(path: Path, known: Known) -> JobsFile:
    jobs: dict[str, Job] = {}
    places: dict[str, Place] = {}
    refused: list[Problem] = []
    errors: list[Problem] = []
    for file in job_files(path):
        one = read_jobs_file(file, known, places)
        jobs |= one.jobs
        places |= {job.name: job.place for job in one.jobs.values()}
        refused += one.refused
        errors += one.errors
    return JobsFile(jobs, tuple(refused), tuple(errors))


def job_files(path: Path) -> list[Path]:
    """The file itself, or those of a folder, by name. One that cannot be read is told by who reads it."""
    try:
        found = [one for one in path.iterdir() if one.suffix in SUFFIXES and not one.name.startswith(".")]
    except OSError:
        return [path]
    return sorted(found)
