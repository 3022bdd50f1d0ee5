"""What is done with a build when its steps are over: files kept, tests counted, logs copied, scripts run.

In the order of the job, each under its own condition; the time is that of all together. One that fails makes the build
a POST_FAILURE, and the next ones run all the same. Consoles are copied later, see `copyfiles`.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from msgspec import Struct

from zuul_launcher.worker.builds.artifacts import NotPublished, keep
from zuul_launcher.worker.builds.bench import Bench, deadline
from zuul_launcher.worker.builds.copyfiles import copy_files
from zuul_launcher.worker.builds.outcome import POST_FAILURE, SUCCESS, applies, worst
from zuul_launcher.worker.builds.steps import Left, run_step
from zuul_launcher.worker.builds.testreports import joined, summarise
from zuul_launcher.worker.builds.trigger import Submit
from zuul_launcher.worker.definitions.job import Artifacts, Copy, JUnit, Publisher, Script, Site

LEAST = 1.0  # seconds that a publisher has, however late it is


class Published(Struct, kw_only=True):
    """`tests`: what the test reports say together."""

    result: str | None
    tests: Mapping[str, Any] | None = None


def publish(bench: Bench, sites: Mapping[str, Site], submit: Submit, so_far: str | None) -> Published:
    """Raises Aborted, NodeLost."""
    published = Published(result=so_far)
    left = deadline(bench.job.publish_timeout)
    for publisher in bench.job.publish:
        bench.abort.check()
        if not applies(publisher.when, published.result):
            continue
        try:
            if left() == 0.0:
                raise NotPublished(f"no time is left of the {bench.job.publish_timeout:g} s for all")
            found = _one(bench, publisher, sites, submit, published, left)
        except NotPublished as error:
            bench.console.note(f"[{type(publisher).__name__.lower()}: {error}]")
            found = POST_FAILURE
        published.result = worst((published.result, found))
    return published


def _one(
    bench: Bench,
    publisher: Publisher,
    sites: Mapping[str, Site],
    submit: Submit,
    published: Published,
    left: Left,
) -> str | None:
    seconds = max(LEAST, left() or 0.0)
    match publisher:
        case Artifacts():
            keep(bench, publisher, seconds)
        case JUnit():
            result, summary = summarise(bench, publisher, seconds)
            published.tests = joined(published.tests, summary)
            return result
        case Copy():
            copy_files(bench, publisher, sites, published.result, seconds)
        case Script():
            return _script(bench, publisher, submit, published.result, left)
        case _:
            assert_never(publisher)
    return SUCCESS


def _script(bench: Bench, publisher: Script, submit: Submit, so_far: str | None, left: Left) -> str | None:
    """In conditions of its steps, small words speak of the script so far, results of the build so far."""
    own: str | None = SUCCESS
    for step in publisher.steps:
        small = [condition for condition in step.when if condition.islower()]
        if applies(small, own) or so_far in step.when:
            own = worst((own, run_step(bench, step, submit, left)))
    return SUCCESS if own == SUCCESS else publisher.marks
