"""What of a set of JJB files the worker runs, and what not: for `worker jjb check`, and for a reload."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.worker.definitions.jjbtranslate import translate
from zuul_launcher.worker.definitions.job import Job
from zuul_launcher.worker.definitions.jobsteps import Known

DIALECTS = (4, 6)


class Report(Struct, frozen=True):
    """`lines`: `JOB: PART: REASON` of jobs that are not registered, and files' own errors with their place.
    `problems`: the same as `FILE:LINE:COLUMN: job NAME is not registered: PART: REASON`.
    `notes`: the same of parts that are left out of jobs that are. `parts`: how many jobs have each unsupported part."""

    jobs: Mapping[str, Job]
    total: int  # jobs after expansion
    lines: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    parts: Mapping[str, int]
    broken: int = 0  # jobs and projects that can not be expanded

    @property
    def is_complete(self) -> bool:
        """Every job is registered."""
        return not self.lines

    def totals(self) -> tuple[str, ...]:
        """For people: the parts by how many jobs have them, then the jobs."""
        parts = sorted(self.parts.items(), key=lambda one: (-one[1], one[0]))
        told = [f"{count:6} {'job has' if count == 1 else 'jobs have'} {part}" for part, count in parts]
        if self.broken:
            told.append(f"{self.broken:6} jobs or projects can not be expanded")
        missing = self.total - len(self.jobs)
        return (*told, f"{len(self.jobs)} of {self.total} jobs are registered, {missing} are not")


def check(path: Path, dialect: int = 6, ignore: Sequence[str] = (), known: Known | None = None) -> Report:
    """`known`: sites and secrets; None: they are not checked.

    Raises FileErrors if the files can not be read as a whole, ConfigurationError if the library is missing.
    """
    if dialect not in DIALECTS:
        raise ConfigurationError(f"there is no JJB dialect {dialect}: use 4 or 6")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries of the library
            from zuul_launcher.worker.definitions.jjbfiles import read_jjb_files
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        if library == "zuul_launcher":
            raise
        missing = f"JJB files need the library jenkins-job-builder ({library} is missing)"
        raise ConfigurationError(f"{missing}: pip install 'zuul-launcher[jjb]'") from error
    files = read_jjb_files(path, dialect)
    ignored = frozenset(one.replace(" ", "") for one in ignore)
    jobs: dict[str, Job] = {}
    lines = [str(problem) for problem in files.refused]
    problems = list(lines)
    notes: list[str] = []
    parts: Counter[str] = Counter()
    for expanded in files.jobs:
        translated = translate(expanded, files.expand_builders, known, ignored)
        for one in translated.unsupported:
            lines.append(f"{expanded.name}: {one.part}: {one.text}")
            problems.append(f"{expanded.place}: job {expanded.name!r} is not registered: {one.part}: {one.text}")
        parts.update({one.part for one in translated.unsupported})
        if translated.job:
            jobs[expanded.name] = translated.job
            notes += [f"{expanded.name}: {one.part}: {one.text}" for one in translated.notes]
    return Report(
        jobs=jobs,
        total=len(files.jobs),
        lines=tuple(lines),
        problems=tuple(problems),
        notes=tuple(notes),
        parts=dict(parts),
        broken=len(files.refused),
    )
