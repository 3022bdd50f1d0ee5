"""Carries a build out: turn, workspace, sources, steps, publishers, clean-up, in this order, and what becomes of it.

1. Whatever is taken is given back: turns, workspace, files of secrets, processes that were left running.
2. An abort ends the steps; publishers run after one that a client asked for, not when the manager ends.
3. A lost node, or sources that cannot be had, give no result. Before that, as many tries are made as the job allows.
4. The console is copied when nothing else is to come.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from msgspec import Struct

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.worker.builds.abort import Abort, Aborted
from zuul_launcher.worker.builds.artifacts import NotPublished
from zuul_launcher.worker.builds.bench import Bench, Unavailable
from zuul_launcher.worker.builds.build import Build
from zuul_launcher.worker.builds.console import Console
from zuul_launcher.worker.builds.copyfiles import copy_console
from zuul_launcher.worker.builds.credentials import Secrets, secrets_of, ssh_agent, variables_of
from zuul_launcher.worker.builds.environment import Environment, Facts, compose, problem
from zuul_launcher.worker.builds.limits import Identity, Limits
from zuul_launcher.worker.builds.outcome import ABORTED, FAILURE, POST_FAILURE, SUCCESS, applies, worst
from zuul_launcher.worker.builds.publish import publish
from zuul_launcher.worker.builds.scm import check_out
from zuul_launcher.worker.builds.steps import files, run_steps
from zuul_launcher.worker.builds.trigger import Submit
from zuul_launcher.worker.builds.turns import Turns
from zuul_launcher.worker.builds.workspace import Found, Seeker, clear, found, turns_of
from zuul_launcher.worker.definitions.job import Copy, Definitions, Job
from zuul_launcher.worker.parts import BuildRecord, Node, NodeLost
from zuul_launcher.worker.places import BuildFolder

PARAMETERS = "build.json"

log = logging.getLogger("zuul_launcher.worker.builds")


class Surroundings(Struct, frozen=True, kw_only=True):
    """What all builds of a manager share."""

    manager: Identity
    limits: Limits
    submit: Submit
    turns: Turns


class Played(Struct, kw_only=True):
    result: str | None = None
    tests: Mapping[str, Any] | None = None


class Play:
    """One build. Everything that goes wrong is a result, except faults of ours."""

    def __init__(
        self,
        build: Build,
        job: Job,
        definitions: Definitions,
        node: Node,
        console: Console,
        folder: BuildFolder,
        surroundings: Surroundings,
    ) -> None:
        assert build.record is not None, "a build that is carried out has a number"
        self._build, self._job, self._definitions, self._node = build, job, definitions, node
        self._record: BuildRecord = build.record
        self._parameters = build.parameters
        self._console, self._folder, self._around = console, folder, surroundings
        self._texts = {**job.params, **build.parameters.texts}
        self._secrets = Secrets()
        self._environment = Environment(variables={})
        self._cookie = uuid4().hex

    def run(self) -> Played:
        played = Played()
        for warning in self._parameters.warnings:
            self._console.note(f"[{warning}]")
        try:
            self._prepare()
            wanted = turns_of(self._job, self._node.name)
            with self._around.turns.taken(wanted, self._build.steps, self._note_wait):
                played = self._tried()
        except Aborted:
            played.result = self._aborted(self._build.steps)
        except ConfigurationError as error:
            self._console.note(f"[nothing was run: {error}]")
            played.result = FAILURE
        except (NodeLost, Unavailable) as error:
            self._console.note(f"[no result: {error}]")
        self._console.note(f"Finished: {played.result or 'no result, to be run again'}")
        played.result = self._copy_consoles(played.result)
        return played

    def _prepare(self) -> None:
        if wrong := problem(self._texts):
            raise ConfigurationError(wrong)
        self._environment = self._composed("", "")
        self._secrets = secrets_of(self._job, self._definitions.secrets)
        self._console.hide(self._secrets.hidden)

    @property
    def _words(self) -> Mapping[str, str]:
        return {**self._texts, **self._environment.variables}

    def _note_wait(self) -> None:
        self._console.note("[waiting for other builds that have what this one needs]")

    def _tried(self) -> Played:
        for left in range(self._job.retry_infra, -1, -1):
            try:
                return self._once(is_last=not left)
            except (NodeLost, Unavailable) as error:
                if not left:
                    raise
                self._console.note(f"[{error}: trying again]")
                self._build.steps.check()
        raise AssertionError("the last try returns or raises")

    def _once(self, is_last: bool) -> Played:
        root = self._node.root()
        seeker = Seeker(
            job=self._job,
            node=self._node.name,
            root=root,
            holder=f"build {self._record.number} of {self._job.name} by {self._around.manager.name}",
            files=self._files,
            turns=self._around.turns,
            abort=self._build.steps,
            limits=self._around.limits,
            note=self._console.note,
        )
        with found(seeker) as place:
            played, bench = Played(), self._bench(seeker, place)
            try:
                self._build.state = "running"
                played = self._work(bench, is_last)
            finally:
                self._clear(seeker, place, bench, played)
        return played

    def _bench(self, seeker: Seeker, place: Found) -> Bench:
        for warning in self._environment.warnings:
            self._console.note(f"[{warning}]")
        return Bench(
            job=self._job,
            node=self._node.name,
            channel=seeker.channel,
            root=seeker.root,
            workspace=place.path,
            temporary=place.temporary,
            folder=self._folder,
            console=self._console,
            limits=self._around.limits,
            abort=self._build.steps,
            texts=self._texts,
            words=self._words,
            variables={**self._environment.variables, **variables_of(self._secrets, place.temporary)},
            cookie=self._cookie,
            clock=place.clock,
            has_sources=place.has_sources,
        )

    def _files(self, workspace: FilePath, temporary: FilePath) -> dict[str, tuple[bytes, int]]:
        """Which depend on where it is: the environment does."""
        self._environment = self._composed(str(workspace), str(temporary))
        sent = json.dumps(dict(self._parameters.values), indent=1).encode()
        long = {name: (text.encode(), 0o600) for name, text in self._environment.files.items()}
        return {**files(self._job), **long, **self._secrets.files, PARAMETERS: (sent, 0o600)}

    def _composed(self, workspace: str, temporary: str) -> Environment:
        facts = Facts(
            job=self._job.name,
            number=self._record.number,
            node=self._node.name,
            is_built_in=self._node.is_built_in,
            labels=self._node.labels,
            executor=self._build.executor,
            workspace=workspace,
            temporary=temporary,
            cookie=self._cookie,
        )
        return compose(self._job, self._texts, facts, self._around.manager, self._node.definition.env)

    def _work(self, bench: Bench, is_last: bool) -> Played:
        with ExitStack() as stack:
            result: str | None
            try:
                stack.enter_context(ssh_agent(bench, self._secrets))
                result = check_out(bench, self._around.turns)
                if result == SUCCESS:
                    result = run_steps(bench, self._around.submit)
            except Aborted:
                result = self._aborted(bench.abort)
            except Unavailable as error:
                if not is_last:
                    raise
                self._console.note(f"[no result: {error}]")
                result = None
            return self._publish(bench, result)

    def _publish(self, bench: Bench, result: str | None) -> Played:
        self._build.state = "publishing"
        bench.abort = self._build.publishers
        try:
            published = publish(bench, self._definitions.sites, self._around.submit, result)
        except Aborted:
            return Played(result=worst((result, self._aborted(bench.abort))))
        return Played(result=published.result, tests=published.tests)

    def _clear(self, seeker: Seeker, place: Found, bench: Bench, played: Played) -> None:
        cleanup, limits = self._job.cleanup, self._around.limits
        clean = cleanup == "always" or (cleanup == "success" and played.result == SUCCESS)
        grace = limits.shutdown_grace if self._build.steps.reason == "shutdown" else limits.kill_grace
        try:
            problems = clear(seeker, place, bench, grace, clean)
        except (NodeLost, Unavailable) as error:
            problems = [f"the workspace could not be cleared: {error}"]
        for each in problems:
            log.warning("build %d of %s: %s", self._record.number, self._job.name, each)
            self._console.note(f"[{each}]")

    def _copy_consoles(self, result: str | None) -> str | None:
        for publisher in self._job.publish:
            if not isinstance(publisher, Copy) or not applies(publisher.when, result):
                continue
            try:
                copy_console(
                    publisher,
                    self._definitions.sites,
                    self._words,
                    self._folder,
                    result,
                    self._around.limits,
                    self._build.publishers,
                    self._job.publish_timeout,
                )
            except NotPublished as error:
                self._console.note(f"[copy: {error}]")
                result = worst((result, POST_FAILURE))
            except Aborted:
                result = worst((result, self._aborted(self._build.publishers)))
        return result

    def _aborted(self, abort: Abort) -> str | None:
        """Who asked for the end waits for its word; who did not is to have the build run again."""
        self._console.note(f"[aborted: {abort.reason}]")
        return ABORTED if abort.reason == "stopped" else None
