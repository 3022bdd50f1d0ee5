"""Channels of the three kinds, each opened once for all tests of a process, and looked over after each test."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.remoting_nodes import Sshd, other_user, sshd
from support.services import require
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, LocalChannel, connect_ssh, connect_subprocess

KINDS = ("local", "subprocess", "ssh")


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    require("sshd")
    with sshd(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Agents of this machine keep sources in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def opened() -> Iterator[dict[str, Channel]]:
    channels: dict[str, Channel] = {}
    yield channels
    with ExitStack() as stack:
        for channel in channels.values():
            stack.callback(channel.close)


@pytest.fixture(scope="session")
def open_kind(request: pytest.FixtureRequest) -> Callable[[str], Channel]:
    """A new channel of a kind; over SSH the agent runs as another user if there is one."""

    def new(kind: str) -> Channel:
        if kind == "local":
            channel: Channel = LocalChannel()
        elif kind == "subprocess":
            channel = connect_subprocess([sys.executable])
        else:
            server: Sshd = request.getfixturevalue("ssh_server")
            channel = connect_ssh(server.node(other_user() or (sys.executable,)), name="ssh")
        channel.allow("support.remote_code")
        return channel

    return new


@pytest.fixture(params=[pytest.param(kind, marks=[pytest.mark.sshd] if kind == "ssh" else []) for kind in KINDS])
def channel(
    request: pytest.FixtureRequest, opened: dict[str, Channel], open_kind: Callable[[str], Channel]
) -> Iterator[Channel]:
    """Each test leaves it as it was: open, without calls, pipes and exports."""
    kind = request.param
    if kind not in opened or not opened[kind].is_open:
        opened[kind] = open_kind(kind)
    channel = opened[kind]
    yield channel
    assert channel.is_open
    for what in ("calls", "running", "exports", "pipes"):
        wait_until(lambda what=what: not channel.dump()[what], what=f"the end of all {what}: {channel.dump()[what]}")


@pytest.fixture
def node(opened: dict[str, Channel], open_kind: Callable[[str], Channel]) -> Channel:
    """A process of its own, shared with other tests."""
    if "subprocess" not in opened or not opened["subprocess"].is_open:
        opened["subprocess"] = open_kind("subprocess")
    return opened["subprocess"]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Channel]:
    """A process for this test alone, which may break it."""
    with connect_subprocess([sys.executable], name="fresh") as channel:
        channel.allow("support.remote_code")
        yield channel
