"""Steps that ask for builds of other jobs, over the same Gearman server."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

from zuul_launcher.errors import RemoteError
from zuul_launcher.worker.builds.bench import Bench, TimeLimit, deadline
from zuul_launcher.worker.builds.outcome import FAILURE, SUCCESS, worst
from zuul_launcher.worker.builds.parameters import expand
from zuul_launcher.worker.definitions.job import Trigger


class Submitted(Protocol):
    """A build that was asked for."""

    def wait(self, timeout: float | None) -> str | None:
        """Its result word; None: it has none, or nobody waits any more. TimeoutError after so many seconds."""

    def leave(self) -> None:
        """Nobody waits for it any more: a wait ends now. The build goes on."""


class Submit(Protocol):
    """Hands a build to the Gearman server. Raises RemoteError."""

    def __call__(self, job: str, parameters: Mapping[str, str], *, wait: bool) -> Submitted: ...


def trigger(bench: Bench, step: Trigger, submit: Submit, seconds: float | None) -> str | None:
    """The worst result of the builds, if the step waits for them. Raises TimeLimit, Aborted."""
    left = deadline(seconds)
    parameters = dict(bench.texts) if step.pass_parameters else {}
    parameters |= {name: expand(text, bench.words) for name, text in step.parameters.items()}
    jobs = [expand(job, bench.words) for job in step.jobs]
    submitted: list[Submitted] = []
    try:
        for job in jobs:
            submitted.append(submit(job, parameters, wait=step.wait))
            bench.console.note(f"[asked for a build of {job}]")
        return _results(bench, jobs, submitted, left) if step.wait else SUCCESS
    except RemoteError as error:
        bench.console.note(f"[the builds could not be asked for: {error}]")
        return FAILURE
    except TimeoutError:
        raise TimeLimit(f"the builds did not end within {seconds:g} s") from None
    finally:
        for each in submitted:
            each.leave()


def _results(
    bench: Bench, jobs: Sequence[str], submitted: Sequence[Submitted], left: Callable[[], float | None]
) -> str | None:
    results = []
    with ExitStack() as stack:
        for each in submitted:
            stack.enter_context(bench.abort.reaction(each.leave))
        for job, each in zip(jobs, submitted, strict=True):
            results.append(each.wait(left()))
            bench.abort.check()
            bench.console.note(f"[{job}: {results[-1] or 'no result'}]")
    return worst(results)
