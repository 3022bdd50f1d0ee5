"""All words that users read in reports: pure, from the state alone (architecture.md §5, behaviour.md §3.13, §8.2).

The texts are v2's, byte for byte; what is added (files in conflict, why a merge could not be done) stands in a
paragraph of its own. Values from outside are put on one line and cut, so that they cannot look like a line of ours.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from zuul_launcher.model.actions import Verdict
from zuul_launcher.model.change import Subject
from zuul_launcher.model.layout import Job, Layout, Pipeline
from zuul_launcher.model.queue import Build, Item, State
from zuul_launcher.model.reading import SUCCESS, is_voting, results, subject_of
from zuul_launcher.report.pattern import PatternError, facts_of_build, facts_of_change, fill, named
from zuul_launcher.settings import Zuul

FAILURE = "FAILURE"
DEPENDENCY_FAILED = "This change depends on a change that failed to merge.\n"
REFUSED = "ERROR: the gate made a mistake with this change, and not the change: {}. Tell the administrators."
DEFAULT_MAIL_SUBJECT = "Report for change {change}"
CONFLICTS_SHOWN = 20
LONGEST_VALUE = 1000  # characters of a result, URL or file name that are shown

ParametersOf = Callable[[str], Mapping[str, Any]]
"""Build uuid -> the parameters it was launched with, after the parameter function."""


def report(
    layout: Layout,
    state: State,
    item: Item,
    verdict: Verdict,
    *,
    settings: Zuul,
    parameters: ParametersOf,
    with_jobs: bool = True,
) -> str:
    """The whole message of a report, as the `[zuul]` section wants it.

    `with_jobs=False` is the form that the sql reporter stores.
    """
    pipeline = layout.pipelines[item.pipeline]
    match verdict:
        case "start":
            text = _start(pipeline, settings.status_url)
        case "success":
            text = pipeline.success_message
        case "failure" if item.refused is not None:
            text = f"{pipeline.failure_message}\n\n{REFUSED.format(one_line(item.refused))}\n"
            with_jobs = False
        case "failure":
            text = pipeline.failure_message
        case "merge-failure":
            text = pipeline.merge_failure_message + _merge_trouble(item)
        case "dependency-failure":
            text = DEPENDENCY_FAILED
    if verdict in ("success", "failure") and with_jobs:
        text += "\n\n" + job_lines(layout, state, item, settings=settings, parameters=parameters)
    if pipeline.footer_message:
        text += "\n" + pipeline.footer_message
    return text


def job_lines(layout: Layout, state: State, item: Item, *, settings: Zuul, parameters: ParametersOf) -> str:
    """One line a job, in tree order, each with its line end."""
    lines = []
    for name, result in results(layout, state, item).items():
        build = item.build_set.builds.get(name)
        url = job_url(layout, state, item, name, result, url_pattern=settings.url_pattern, parameters=parameters)
        line = f"- {name} " if settings.job_name_in_report else "- "
        line += f"{one_line(url)} : {one_line(result_word(layout.jobs[name], result))}"
        if settings.report_times and build and build.started_at is not None and build.ended_at is not None:
            line += f" in {duration(build.ended_at - build.started_at)}"
        if not is_voting(layout, item, name):
            line += " (non-voting)"
        lines.append(line + "\n")
    return "".join(lines)


def job_url(
    layout: Layout,
    state: State,
    item: Item,
    job: str,
    result: str | None,
    *,
    url_pattern: str | None,
    parameters: ParametersOf,
) -> str:
    """Where to look at a job: by its pattern; if that cannot be filled in, the build's own URL, else the job name."""
    build = item.build_set.builds.get(job)
    pattern = _pattern(layout.jobs[job], result) or url_pattern
    if pattern:
        try:
            url = fill(
                pattern,
                change=facts_of_change(subject_of(state, item)),
                pipeline=named(item.pipeline),
                job=named(job),
                build=facts_of_build(build, _parameters(build, pattern, parameters)),
            )
        except PatternError:
            url = ""
        if url:
            return url
    return (build.url if build else None) or job


def result_word(job: Job, result: str | None) -> str:
    """What a report calls this result: the job's own message, if it has one for it."""
    if result == SUCCESS and job.success_message:
        return job.success_message
    if result == FAILURE and job.failure_message:
        return job.failure_message
    return str(result)


def duration(seconds: float) -> str:
    """`5s`, `3m 05s`, `1h 02m 05s`: whole seconds."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m {rest:02d}s"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def mail_subject(pattern: str | None, subject: Subject) -> str:
    """The Subject of a mail: the reporter's `subject` option filled in; v2's default if it has none or a wrong one."""
    change = facts_of_change(subject)
    try:
        text = fill(pattern or DEFAULT_MAIL_SUBJECT, change=change)
    except PatternError:
        text = fill(DEFAULT_MAIL_SUBJECT, change=change)
    return one_line(text)


def one_line(text: str) -> str:
    """Text from outside as part of a line of ours: no line ends or other control characters, not endless."""
    text = re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text[: LONGEST_VALUE + 1])
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "… (cut)"


def _start(pipeline: Pipeline, status_url: str | None) -> str:
    text = f"Starting {pipeline.name} jobs."
    return f"{text}\n{status_url}" if status_url else text


def _merge_trouble(item: Item) -> str:
    """The paragraph that says why it could not be merged; empty if nothing is known."""
    conflicts, error = item.build_set.conflicts, item.build_set.merge_error
    if conflicts:
        lines = [f"- {one_line(name)}\n" for name in conflicts[:CONFLICTS_SHOWN]]
        if len(conflicts) > CONFLICTS_SHOWN:
            lines.append(f"- and {len(conflicts) - CONFLICTS_SHOWN} more\n")
        return "\n\nConflicting files:\n" + "".join(lines)
    return f"\n\nThe merge was not possible: {one_line(error)}\n" if error else ""


def _pattern(job: Job, result: str | None) -> str | None:
    if result == SUCCESS:
        return job.success_pattern
    return job.failure_pattern if result == FAILURE else None


def _parameters(build: Build | None, pattern: str, parameters: ParametersOf) -> Mapping[str, Any]:
    """Looked up only for patterns that speak of them: they are kept in the database."""
    return parameters(build.uuid) if build and "parameters" in pattern else {}
