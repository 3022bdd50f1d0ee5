"""Steps that ask for builds of other jobs."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from support.build_world import World, job
from support.waiting import wait_until

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.worker.definitions.job import Credential, Shell, Trigger


class Server:
    """`trigger.Submit`: takes builds, and ends them when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, str], bool]] = []
        self.results: dict[str, str | None] = {}
        self.is_there = True
        self.left = 0
        self.change = threading.Condition()

    def __call__(self, job: str, parameters: Mapping[str, str], *, wait: bool) -> "Submitted":
        if not self.is_there:
            raise RemoteUnavailable("no server")
        with self.change:
            self.asked.append((job, parameters, wait))
            self.change.notify_all()
        return Submitted(self, job)

    def end(self, name: str, result: str | None) -> None:
        with self.change:
            self.results[name] = result
            self.change.notify_all()


class Submitted:
    def __init__(self, server: Server, name: str) -> None:
        self._server, self._name, self._is_left = server, name, False

    def wait(self, timeout: float | None) -> str | None:
        with self._server.change:
            if not self._server.change.wait_for(lambda: self._name in self._server.results or self._is_left, timeout):
                raise TimeoutError
            return self._server.results.get(self._name)

    def leave(self) -> None:
        with self._server.change:
            self._is_left = True
            self._server.left += 1
            self._server.change.notify_all()


def test_builds_are_asked_for_with_their_parameters(worlds: Callable[..., World]) -> None:
    server = Server()
    step = Trigger(jobs=("a", "${KIND}-b"), parameters={"X": "x-${P}"})
    assert worlds(submit=server).run(job(steps=(step,)), {"P": "1", "KIND": "k"}).result == "SUCCESS"
    assert server.asked == [("a", {"X": "x-1"}, False), ("k-b", {"X": "x-1"}, False)]
    assert server.left == 2


def test_variables_stand_in_parameters_but_secrets_do_not(worlds: Callable[..., World]) -> None:
    """D91."""
    server = Server()
    world = worlds(submit=server)
    step = Trigger(jobs=("a",), parameters={"X": "${JOB_NAME}-${E}-${S}"})
    wanted = job(steps=(step,), env={"E": "env"}, credentials=(Credential(variable="S", secret="s"),))
    world.define(wanted, secrets={"s": {"text": "s3cret"}})
    assert world.assign().end()["result"] == "SUCCESS"
    assert server.asked == [("a", {"X": "unit-env-"}, False)]


def test_a_step_that_is_not_essential_may_fail_to_ask(worlds: Callable[..., World]) -> None:
    server = Server()
    server.is_there = False
    assert worlds(submit=server).run(job(steps=(Trigger(jobs=("a",), essential=False),))).result == "SUCCESS"


def test_parameters_of_the_build_are_passed_on_if_that_is_wanted(worlds: Callable[..., World]) -> None:
    server = Server()
    step = Trigger(jobs=("a",), parameters={"X": "own"}, pass_parameters=True)
    worlds(submit=server).run(job(steps=(step,), params={"D": "default"}), {"X": "sent", "P": 1})
    assert server.asked == [("a", {"D": "default", "X": "own", "P": "1"}, False)]


def test_the_worst_result_is_that_of_a_step_that_waits(worlds: Callable[..., World]) -> None:
    server = Server()
    world = worlds(submit=server)
    step = Trigger(jobs=("a", "b"), wait=True)
    world.define(job(steps=(step, Shell(text="#!/bin/sh\necho later"))))
    client = world.assign()
    wait_until(lambda: len(server.asked) == 2)
    server.end("b", "SUCCESS")
    server.end("a", "UNSTABLE")
    assert client.end()["result"] == "UNSTABLE"
    assert "[a: UNSTABLE]\n[b: SUCCESS]\n" in world.console()
    assert "later" not in world.console()


def test_a_server_that_is_not_there_fails_the_step(worlds: Callable[..., World]) -> None:
    server = Server()
    server.is_there = False
    ran = worlds(submit=server).run(job(steps=(Trigger(jobs=("a",)),)))
    assert ran.result == "FAILURE"
    assert "no server" in ran.console


def test_a_step_that_waits_has_a_time(worlds: Callable[..., World]) -> None:
    server = Server()
    ran = worlds(submit=server).run(job(steps=(Trigger(jobs=("a",), wait=True, timeout=0.2),)))
    assert ran.result == "TIMED_OUT"
    assert server.left >= 1


def test_a_step_that_waits_is_stopped_at_once(worlds: Callable[..., World]) -> None:
    """D49."""
    server = Server()
    world = worlds(submit=server)
    world.define(job(steps=(Trigger(jobs=("a",), wait=True),)))
    client = world.assign()
    wait_until(lambda: server.asked)
    wait_until(lambda: bool(world.builds.running()) and world.builds.running()[0].state == "running")
    assert world.builds.stop("unit", "1") == "aborting"
    end: dict[str, Any] = client.end()
    assert end["result"] == "ABORTED"
