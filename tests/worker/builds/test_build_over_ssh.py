"""Builds on a node behind a real sshd: all that differs is the way there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import nodes
from support.build_world import World, is_alive, job, wait_text
from support.git_world import Upstream
from test_build_steps import DAEMON

from zuul_launcher.remoting import Channel, connect_ssh
from zuul_launcher.worker.definitions.job import Artifacts, Credential, Git, JUnit

pytestmark = pytest.mark.sshd


@pytest.fixture
def over_ssh(worlds: Callable[..., World], tmp_path: Path) -> Iterator[World]:
    def connect() -> Channel:
        return connect_ssh(server.node, name="n1")

    with nodes.sshd(tmp_path) as server:
        world = worlds(connect=connect)
        yield world
        world.close()


def test_a_build_goes_all_its_way(over_ssh: World, tmp_path: Path) -> None:
    """D30, D33, D34, D81, D82, D83, D88, D91, D93."""
    upstream = Upstream(tmp_path / "server", "project")
    script = """#!/bin/bash
    cat README; echo "$P"; wc -c < "$BIG_FILE"; echo "$TOKEN"; pwd
    mkdir log; echo kept > log/a
    echo '<testsuite name="s"><testcase name="x"/></testsuite>' > r.xml
    """
    wanted = job(
        script,
        DAEMON,
        scm=Git(url=upstream.url, ref="master", commit=""),
        publish=(Artifacts(paths=("log/**",)), JUnit(paths=("*.xml",))),
        credentials=(Credential(variable="TOKEN", secret="t"),),
        cleanup="always",
    )
    over_ssh.define(wanted, secrets={"t": {"text": "s3cret-value"}})
    value = "ä\nb"
    client = over_ssh.assign(payload={"P": value, "BIG": "x" * 200_000})
    end = client.end()
    console = over_ssh.console()
    assert end["result"] == "SUCCESS", console
    place = over_ssh.place / "workspace" / "unit"
    assert f"first\n{value}\n200000\n****\n{place}\n" in console
    folder = over_ssh.build_folder("unit", 1)
    assert (folder.artifacts / "log" / "a").read_text() == "kept\n"
    tests = over_ssh.history.records["unit", 1].tests
    assert tests is not None
    assert tests["tests"] == 1
    assert not place.exists()
    assert not Path(f"{place}@tmp").exists()


def test_a_stop_reaches_what_runs_there(over_ssh: World) -> None:
    """D49, D50."""
    over_ssh.define(job(DAEMON, "#!/bin/sh\necho $$ > started; exec sleep 1000"))
    client = over_ssh.assign()
    place = over_ssh.place / "workspace" / "unit"
    step, daemon = int(wait_text(place / "started")), int(wait_text(place / "daemon"))
    over_ssh.builds.stop("unit", "1")
    assert client.end()["result"] == "ABORTED"
    assert not is_alive(step)
    assert not is_alive(daemon)
