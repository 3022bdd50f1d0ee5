"""What the sql reporter stores of a report: pure, from the state alone (behaviour.md §8.3)."""

from zuul_launcher.model.actions import Verdict
from zuul_launcher.model.change import Change, Tick
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import Item, State
from zuul_launcher.model.reading import is_voting, results, subject_of
from zuul_launcher.report.sql import Record, RecordedBuild
from zuul_launcher.report.text import ParametersOf, job_url, one_line, report, result_word
from zuul_launcher.settings import Zuul


def record(
    layout: Layout, state: State, item: Item, verdict: Verdict, score: int, *, settings: Zuul, parameters: ParametersOf
) -> Record:
    """The rows of a verdict: jobs in tree order, those that had a build."""
    subject = subject_of(state, item)
    builds = []
    for job, result in results(layout, state, item).items():
        build = item.build_set.builds.get(job)
        if build is None:
            continue
        url = job_url(layout, state, item, job, result, url_pattern=settings.url_pattern, parameters=parameters)
        builds.append(
            RecordedBuild(
                uuid=build.uuid,
                job=job,
                result=None if result is None else one_line(result_word(layout.jobs[job], result)),
                started_at=build.started_at,
                ended_at=build.ended_at,
                voting=is_voting(layout, item, job),
                url=one_line(url),
                node_name=build.node_name,
            )
        )
    numbers = (subject.number, subject.patchset) if isinstance(subject, Change) else (None, None)
    return Record(
        zuul_ref=item.build_set.ref,
        pipeline=item.pipeline,
        project=subject.project,
        change=numbers[0],
        patchset=numbers[1],
        ref="" if isinstance(subject, Tick) else subject.ref,
        score=score,
        message=report(layout, state, item, verdict, settings=settings, parameters=parameters, with_jobs=False),
        builds=tuple(builds),
    )
