"""Runs the steps of a build one after another, and says what became of it.

A script stands in a file of the temporary folder, written before the first step runs. Without `#!` it is for
`bash -xe`; its own folder is the workspace, its input is empty, its two outputs are one. The first failure of the
steps is the result; what runs after it says so with `when`.
"""

import secrets
import shlex
from collections.abc import Callable, Mapping

from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.launcher import LaunchError
from zuul_launcher.worker.builds.bench import Bench, TimeLimit, deadline, run
from zuul_launcher.worker.builds.environment import COOKIE
from zuul_launcher.worker.builds.outcome import FAILURE, SUCCESS, TIMED_OUT, applies, worst
from zuul_launcher.worker.builds.trigger import Submit, trigger
from zuul_launcher.worker.definitions.job import Job, Script, Shell, Step

SCRIPT_MODE = 0o700
SHELL = ("/bin/bash", "-xe")

Left = Callable[[], float | None]  # seconds


def script_name(step: Shell, job: Job) -> str:
    """The name of its file in the temporary folder."""
    return f"step-{next(number for number, each in enumerate(_shells(job), 1) if each is step)}"


def _shells(job: Job) -> list[Shell]:
    after = (step for publisher in job.publish if isinstance(publisher, Script) for step in publisher.steps)
    return [step for step in (*job.steps, *after) if isinstance(step, Shell)]


def files(job: Job) -> dict[str, tuple[bytes, int]]:
    """Every script of a job, for the temporary folder."""
    return {script_name(step, job): (step.text.encode(errors="replace"), SCRIPT_MODE) for step in _shells(job)}


def interpreter(text: str) -> tuple[str, ...]:
    """What a script is handed to: as the system reads a `#!` line, program and at most one argument."""
    line = text.partition("\n")[0]
    if not line.startswith("#!"):
        return SHELL
    return tuple(line[2:].strip().split(None, 1)) or SHELL


def run_steps(bench: Bench, submit: Submit) -> str | None:
    """The result of the steps of the job. Raises Aborted, NodeLost, Unavailable."""
    left = deadline(bench.job.timeout)
    result: str | None = SUCCESS
    for step in bench.job.steps:
        bench.abort.check()
        if not applies(step.when, result):
            continue
        is_late = left() == 0.0
        found = TIMED_OUT if is_late else run_step(bench, step, submit, left)
        result = worst((result, bench.job.timeout_result if found == TIMED_OUT else found))
        if is_late:
            break
    return result


def run_step(bench: Bench, step: Step, submit: Submit, left: Left) -> str | None:
    """The result of one step. Raises Aborted, NodeLost, Unavailable."""
    seconds = min((each for each in (left(), step.timeout) if each is not None), default=None)
    try:
        if isinstance(step, Shell):
            found: str | None = _shell(bench, step, seconds)
        else:
            found = trigger(bench, step, submit, seconds)
    except TimeLimit as error:
        bench.console.note(f"[timed out: {error}]")
        found = TIMED_OUT
    finally:
        bench.console.flush()
    return found if step.essential else SUCCESS


def _shell(bench: Bench, step: Shell, seconds: float | None) -> str:
    if step.name:
        bench.console.note(f"[{step.name}]")
    command: list[str | FilePath] = [*interpreter(step.text), bench.temporary / script_name(step, bench.job)]
    try:
        status = run(bench, command, variables=_variables(bench, step), seconds=seconds)
    except LaunchError as error:
        bench.console.note(f"[{shlex.join(map(str, command))} cannot be started: {error.strerror}]")
        return FAILURE
    if status:
        what = "does not count" if not step.essential else "failed"
        bench.console.note(f"[the step {what}: exit status {status}]")
    return FAILURE if status else SUCCESS


def _variables(bench: Bench, step: Shell) -> Mapping[str, str]:
    found = {**bench.variables, **step.env, COOKIE: bench.cookie}
    if step.keep_processes:
        found[COOKIE] = secrets.token_hex(16)  # not that of the build: at its end these are not found
    return found
