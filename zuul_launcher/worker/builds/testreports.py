"""JUnit reports of a build: read where they are, only what they say together comes back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from zuul_launcher.remoting.junit import summarise_junit
from zuul_launcher.remoting.nodefiles import act
from zuul_launcher.worker.builds.artifacts import NotPublished
from zuul_launcher.worker.builds.bench import Bench, Unavailable, call
from zuul_launcher.worker.builds.mask import masked
from zuul_launcher.worker.builds.outcome import FAILURE, SUCCESS, UNSTABLE
from zuul_launcher.worker.definitions.job import JUnit

_COUNTS = ("files", "stale", "tests", "failures", "errors", "skipped", "seconds")


def summarise(bench: Bench, publisher: JUnit, seconds: float) -> tuple[str, Mapping[str, Any]]:
    """The result, and the summary as plain data without secrets. What is older than the build is not read.

    Raises NotPublished, Aborted, NodeLost."""
    try:
        arguments = (str(bench.workspace), summarise_junit, (publisher.paths,), {"newer_than": bench.clock})
        found = call(bench.channel, bench.abort, seconds, act, *arguments)
    except (Unavailable, ValueError) as error:
        raise NotPublished(f"the test reports cannot be read: {error}") from error
    if not found.files and not publisher.allow_empty:
        stale = f"; {found.stale} are of an earlier build" if found.stale else ""
        raise NotPublished(f"no file of the workspace is of {', '.join(publisher.paths)}{stale}")
    bench.console.note(
        f"[{found.tests} tests: {found.failures} failed, {found.errors} with errors, {found.skipped} skipped]"
    )
    for path, problem in found.problems:
        bench.console.note(f"[{path}: {problem}]")
    summary = masked({**asdict(found), "problems": [list(each) for each in found.problems]}, bench.console.secrets)
    if found.has_passed:
        return SUCCESS, summary
    return UNSTABLE if publisher.on_failure == "unstable" else FAILURE, summary


def joined(before: Mapping[str, Any] | None, more: Mapping[str, Any]) -> Mapping[str, Any]:
    """Two summaries as one."""
    if before is None:
        return more
    counts = {name: before[name] + more[name] for name in _COUNTS}
    lists = {name: [*before[name], *more[name]] for name in ("suites", "failed", "problems")}
    return {**counts, **lists, "is_cut": before["is_cut"] or more["is_cut"]}
