"""Turns and workspaces: who has what, in which order, and that nothing is kept by the dead."""

import ast
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.build_world import World, agent, job, wait_text
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, LocalChannel
from zuul_launcher.worker.builds import nodeworkspace
from zuul_launcher.worker.builds.abort import Abort, Aborted
from zuul_launcher.worker.builds.nodeworkspace import Preparation, Remains, finish, prepare
from zuul_launcher.worker.builds.turns import Turns

SWITCH = "#!/bin/sh\npwd > where; while [ ! -e go ]; do sleep 0.02; done"


def test_the_node_code_is_of_the_oldest_python_of_a_node() -> None:
    source = Path(nodeworkspace.__file__).read_text()
    ast.parse(source, feature_version=(3, 8))
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    ours = [node.module for node in imports if (node.module or "").startswith("zuul_launcher")]
    assert all(module and module.startswith("zuul_launcher.remoting") for module in ours)


# Turns


class Waiting:
    """One that wants something, in a thread of its own, and has it until it is told to go."""

    def __init__(self, turns: Turns, wanted: dict[tuple[str, ...], int], log: list[str], name: str) -> None:
        self.abort = Abort()
        self.waits = threading.Event()
        self.has = threading.Event()
        self.go = threading.Event()
        self.was_aborted = False
        self._turns, self._wanted, self._log, self._name = turns, wanted, log, name
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_until(lambda: self.waits.is_set() or self.has.is_set())

    def _run(self) -> None:
        try:
            with self._turns.taken(self._wanted, self.abort, self.waits.set):
                self._log.append(self._name)
                self.has.set()
                self.go.wait(60)
        except Aborted:
            self.was_aborted = True

    def end(self) -> None:
        self.go.set()
        self.thread.join(60)


def test_who_comes_first_is_served_first() -> None:
    turns, log = Turns(), list[str]()
    line = [Waiting(turns, {("w",): 1}, log, str(number)) for number in range(5)]
    for each in line:
        each.has.wait(60)
        each.end()
    assert log == ["0", "1", "2", "3", "4"]


def test_who_wants_something_else_may_pass() -> None:
    turns, log = Turns(), list[str]()
    first = Waiting(turns, {("a",): 1}, log, "first")
    second = Waiting(turns, {("a",): 1, ("b",): 1}, log, "second")
    third = Waiting(turns, {("b",): 1}, log, "third")
    assert log == ["first", "third"]
    first.end()
    assert not second.has.is_set()
    third.end()
    assert second.has.wait(60)
    second.end()


def test_who_is_content_with_less_room_does_not_overtake() -> None:
    turns, log = Turns(), list[str]()
    first = Waiting(turns, {("g",): 2}, log, "first")
    alone = Waiting(turns, {("g",): 1}, log, "alone")
    later = Waiting(turns, {("g",): 2}, log, "later")
    assert log == ["first"]
    first.end()
    assert alone.has.wait(60)
    alone.end()
    assert later.has.wait(60)
    later.end()
    assert sorted(log) == ["alone", "first", "later"]


def test_an_abort_that_came_before_is_reacted_to_at_once() -> None:
    """D54."""
    abort, reacted = Abort(), threading.Event()
    assert abort.ask("stopped")
    assert not abort.ask("shutdown")
    with abort.reaction(reacted.set):
        assert reacted.wait(60)
    assert abort.reason == "stopped"


def test_who_leaves_the_line_lets_others_pass() -> None:
    """D48."""
    turns, log = Turns(), list[str]()
    first, second, third = (Waiting(turns, {("a",): 1}, log, name) for name in ("first", "second", "third"))
    second.abort.ask("stopped")
    second.thread.join(60)
    assert second.was_aborted
    first.end()
    assert third.has.wait(60)
    third.end()
    assert log == ["first", "third"]


def test_a_turn_that_comes_with_an_abort_is_given_back() -> None:
    turns, abort = Turns(), Abort()
    abort.ask("stopped")
    with pytest.raises(Aborted), turns.taken({("a",): 1}, abort):
        raise AssertionError("it was aborted")
    with turns.taken({("a",): 1}, Abort()):
        pass


# Workspaces


def test_builds_at_the_same_time_have_workspaces_of_their_own(world: World) -> None:
    """D85."""
    world.define(job(SWITCH))
    clients = [world.assign() for _ in range(3)]
    places = [world.place / "workspace" / name for name in ("unit", "unit@2", "unit@3")]
    for place in places:
        assert wait_text(place / "where") == f"{place}\n"
    (places[1] / "go").touch()
    wait_until(lambda: any(client.released.is_set() for client in clients))
    (places[1] / "go").unlink()
    (places[1] / "where").unlink()
    clients.append(world.assign())
    assert wait_text(places[1] / "where") == f"{places[1]}\n"
    for place in places:
        (place / "go").touch()
    assert {client.end()["result"] for client in clients} == {"SUCCESS"}


def test_a_workspace_that_the_job_names_is_used_by_one_at_a_time(world: World, tmp_path: Path) -> None:
    place = tmp_path / "named"
    world.define(job(SWITCH, workspace=str(place)))
    first, second = world.assign(), world.assign()
    assert wait_text(place / "where") == f"{place}\n"
    wait_until(lambda: "waiting for other builds" in world.console(number=1) + world.console(number=2))
    (place / "go").touch()
    assert first.end()["result"] == second.end()["result"] == "SUCCESS"


def test_another_manager_leaves_a_used_workspace_alone(worlds: Callable[..., World]) -> None:
    one, two = worlds(), worlds()
    two.nodes["n1"]._root = one.place  # the same node
    one.define(job(SWITCH))
    two.define(job(SWITCH))
    first = one.assign()
    assert wait_text(one.place / "workspace" / "unit" / "where")
    second = two.assign()
    assert wait_text(one.place / "workspace" / "unit@2" / "where")
    for name in ("unit", "unit@2"):
        (one.place / "workspace" / name / "go").touch()
    assert first.end()["result"] == second.end()["result"] == "SUCCESS"


def test_another_manager_waits_for_a_workspace_that_the_job_names(worlds: Callable[..., World], tmp_path: Path) -> None:
    one, two = worlds(), worlds()
    place = tmp_path / "named"
    for world in (one, two):
        world.define(job(SWITCH, workspace=str(place)))
    first = one.assign()
    assert wait_text(place / "where")
    second = two.assign()
    wait_until(lambda: "is used by build 1 of unit by manager" in two.console())
    assert two.builds.stop("unit", "1") == "queued"
    assert second.end()["result"] == "ABORTED"
    (place / "go").touch()
    assert first.end()["result"] == "SUCCESS"


def _prepared(channel: Channel, place: Path, token: str) -> dict[str, object]:
    channel.allow(nodeworkspace.__name__)
    wanted = Preparation(token=token, holder=token, temporary=f"{place}@tmp")
    return dict(channel.call(prepare, str(place), wanted))


def test_the_lock_of_a_manager_that_was_killed_is_free(tmp_path: Path) -> None:
    """D86."""
    dead, alive = agent(tmp_path / "cache")(), LocalChannel()
    place = tmp_path / "workspace"
    assert "clock" in _prepared(dead, place, "dead")
    assert str(_prepared(alive, place, "alive")["busy"]).startswith("dead, process")
    os.kill(dead.call(os.getpid), signal.SIGKILL)
    wait_until(lambda: "clock" in _prepared(alive, place, "alive"))
    dead.close()
    alive.close()


def test_a_lock_ends_with_its_channel_and_with_its_build(tmp_path: Path) -> None:
    one, two = LocalChannel(), LocalChannel()
    place = tmp_path / "workspace"
    _prepared(one, place, "a")
    assert "busy" in _prepared(two, place, "b")
    assert one.call(finish, str(place), "a", f"{place}@tmp", None, False) == []
    assert "clock" in _prepared(two, place, "b")
    two.close()
    wait_until(lambda: "clock" in _prepared(one, place, "c"))
    one.close()


def test_a_preparation_that_fails_keeps_no_lock(tmp_path: Path) -> None:
    place = tmp_path / "workspace"
    with LocalChannel() as channel:
        wanted = Preparation(token="a", holder="a", temporary=f"{place}@tmp", files={"no/such/folder": (b"", 0o600)})
        with pytest.raises(OSError, match="no/such"):
            channel.call(prepare, str(place), wanted)
        assert "clock" in _prepared(channel, place, "b")


def test_the_temporary_folder_is_new_and_private(tmp_path: Path) -> None:
    place = tmp_path / "workspace"
    old = Path(f"{place}@tmp")
    old.mkdir()
    (old / "secret-of-another").write_text("x")
    with LocalChannel() as channel:
        files = {"step-1": (b"text", 0o700), "params/P": (b"long", 0o600)}
        wanted = Preparation(token="a", holder="a", temporary=str(old), files=files)
        channel.call(prepare, str(place), wanted)
    found = {str(each.relative_to(old)): each.stat().st_mode & 0o777 for each in old.rglob("*")}
    assert found == {"step-1": 0o700, "params": 0o700, "params/P": 0o600}
    assert old.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("first", "number", "last", "found"),
    [
        (10, 10, 20, True),
        (10, 20, 20, True),
        (10, 9, 20, False),
        (10, 21, 20, False),
        (90, 95, 5, True),
        (90, 5, 5, True),
        (90, 6, 5, False),
        (90, 89, 5, False),
    ],
)
def test_numbers_of_processes_come_round(first: int, number: int, last: int, found: bool) -> None:
    assert nodeworkspace.is_between(first, number, last) is found


def test_after_a_long_build_all_processes_are_looked_at() -> None:
    """D50."""
    environment = {**os.environ, "W2_MARK": "1"}
    with subprocess.Popen(["sleep", "1000"], env=environment) as process, LocalChannel() as channel:
        wait_until(lambda: b"W2_MARK=1" in Path(f"/proc/{process.pid}/environ").read_bytes())
        later = subprocess.Popen(["true"])
        later.wait(60)
        for seconds, is_ended in ((0.0, False), (1e9, True)):
            remains = Remains("W2_MARK", "1", later.pid, seconds, 5.0)
            channel.call(finish, "/nonexistent", "none", "", remains, False)
            assert (process.poll() is not None) is is_ended


@pytest.mark.parametrize(
    ("cleanup", "script", "is_kept"),
    [("never", "true", True), ("success", "true", False), ("success", "false", True), ("always", "false", False)],
)
def test_the_workspace_is_removed_as_the_job_says(world: World, cleanup: str, script: str, is_kept: bool) -> None:
    ran = world.run(job(f"mkdir -p a/b; chmod 500 a; {script}", cleanup=cleanup))
    assert ran.workspace.exists() is is_kept
    assert not Path(f"{ran.workspace}@tmp").exists()


def test_a_workspace_is_kept_or_emptied_before_a_build_as_the_job_says(world: World) -> None:
    world.run(job("touch old"))
    assert "old" in world.run(job("#!/bin/sh\nls")).console
    assert "old" not in world.run(job("#!/bin/sh\nls", clean_first=True)).console


def test_a_workspace_that_cannot_be_made_gives_no_result(world: World) -> None:
    (world.place / "workspace").write_text("in the way")
    ran = world.run(job("exit 0"))
    assert ran.result is None
    assert "no result" in ran.console
