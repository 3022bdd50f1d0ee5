"""The manual's page about remoting: its examples run as they are printed, and it speaks of all that there is."""

import functools
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from support import node_code, nodes, reports
from support.nodes import Sshd

from zuul_launcher import remoting
from zuul_launcher.cli.node import node as commands
from zuul_launcher.remoting import Channel, LocalChannel, Pipe, connect_ssh, errors
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.launcher import Launcher, LaunchError

PAGE = (Path(__file__).parent.parent.parent / "doc" / "remoting.rst").read_text()
FIRST, *OTHERS = [textwrap.dedent(block) for block in re.findall(r"code-block:: python\n\n((?:    .*\n|\n)+)", PAGE)]
HOST = 'SshNode("node.example.org", "jenkins")'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with nodes.sshd(tmp_path_factory.mktemp("node")) as started:
        yield started


@pytest.fixture(scope="module")
def node(server: Sshd) -> Iterator[Channel]:
    with connect_ssh(server.node, name="node") as channel:
        yield channel


@pytest.mark.sshd
def test_the_first_example_is_short_and_does_what_it_says_over_ssh(server: Sshd, tmp_path: Path) -> None:
    assert len([line for line in FIRST.splitlines() if line]) < 10
    logs = tmp_path / "logs"
    logs.mkdir()
    for size in (10, 30, 20):
        (logs / f"{size}.log").write_bytes(bytes(size))
    reached = (
        f"SshNode('127.0.0.1', {server.user!r}, port={server.port}, key=Path({str(server.key)!r}),"
        f" known_hosts=Path({str(server.known_hosts)!r}), python=({sys.executable!r},))"
    )
    assert HOST in FIRST
    (tmp_path / "script.py").write_text(FIRST.replace(HOST, reached).replace("/var/log", str(logs)))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[(30, '30.log'), (20, '20.log'), (10, '10.log')]\n", "")


@pytest.mark.sshd
def test_the_other_examples_run_one_after_another_over_ssh(
    node: Channel, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, here = tmp_path / "workspace", tmp_path / "here"
    workspace.mkdir()
    (workspace / "old.log").write_text("1\n2\n")
    (workspace / "TEST-a.xml").write_text('<testsuite><testcase name="one"><failure/></testcase></testsuite>')
    monkeypatch.syspath_prepend(str(Path(reports.__file__).parent))
    namespace: dict[str, Any] = {"node": node, "workspace": FilePath(node, str(workspace)), "here": str(here)}
    for example in OTHERS:
        exec(compile(example, "doc/remoting.rst", "exec"), namespace)
    assert capsys.readouterr().out.splitlines() == [
        "{'old.log': 2}",
        f"{workspace}/build.log 11",
        f"{workspace}/old.log 4",
        "0 b'hello\\n'",
        "1 1 ['one'] ()",
    ]
    assert sorted(path.name for path in here.iterdir()) == ["build.log", "old.log"]


# A mistake of each kind


LOCK = threading.Lock()
MISTAKES: dict[str, tuple[type[BaseException], str, Callable[[FilePath, Any], Any]]] = {
    "a captured lock, file, thread or connection": (
        errors.NotSerializable,
        "lock",
        lambda folder, node: folder.act(functools.partial(lambda path, lock: 1, lock=LOCK)),
    ),
    "a result that is no plain data": (
        errors.ResultNotSerializable,
        "object is no plain data",
        lambda folder, node: folder.act(lambda path: object()),
    ),
    "a generator as result": (
        errors.ResultNotSerializable,
        "use a pipe",
        lambda folder, node: folder.act(lambda path: (each for each in ())),
    ),
    "a result above 128 MiB": (
        errors.MessageTooLarge,
        "the limit is",
        lambda folder, node: folder.act(lambda path: bytes(130 * 1024**2)),
    ),
    "``sys.exit()`` in a function": (
        errors.RemoteExit,
        "SystemExit: 3",
        lambda folder, node: folder.act(lambda path: sys.exit(3)),
    ),
    "a function of the controller called from a node": (
        errors.RoleDenied,
        "mark it with @callable_from_agent",
        lambda folder, node: folder.act(node_code.read, FilePath(None, "/etc/hosts")),
    ),
    "a pipe that is sent twice": (
        errors.PipeReused,
        "sent before",
        lambda folder, node: [node.call(str, pipe) for pipe in [Pipe.to_remote()] * 2],
    ),
    "a relative path, or ``..`` after ``/``": (ValueError, "is absolute", lambda folder, node: FilePath(node, "x")),
    "a path or proxy of one node sent to another": (
        errors.WrongChannel,
        "cannot travel over",
        lambda folder, node: _sent_elsewhere(folder),
    ),
    "a command as one text": (TypeError, "'sh', '-c', text", lambda folder, node: Launcher(node).launch("ls /")),
    "a program that is not there": (
        LaunchError,
        "No such file",
        lambda folder, node: Launcher(node).launch(["/no/such/program"]),
    ),
    "a module that is not allowed": (
        ModuleNotFoundError,
        "No module named 'support'",
        lambda folder, node: folder.act(reports.count_lines, "*"),
    ),
    "``allow`` of a module instead of its name": (
        TypeError,
        "allow('support.reports')",
        lambda folder, node: node.allow(reports),
    ),
    "``allow`` of a name that is not found here": (
        ModuleNotFoundError,
        "no module 'no_such_reports' here",
        lambda folder, node: node.allow("no_such_reports"),
    ),
}
MADE_ELSEWHERE = {
    "a host key that is unknown, or another one",
    "a compiled module",
    "a data file that is not allowed",
    "a lambda, and another Python on the node",
    "an archive that leads out of its folder",
    "a call after the connection was lost",
}


def _sent_elsewhere(folder: FilePath) -> None:
    with LocalChannel() as other:
        other.call(str, folder)


@pytest.mark.sshd
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_the_error_that_the_page_names_and_the_channel_lives_on(
    server: Sshd, tmp_path: Path, mistake: str
) -> None:
    kind, text, make = MISTAKES[mistake]
    with connect_ssh(server.node, name="node") as node:
        if "controller" in mistake:
            node.allow("support.node_code")
        with pytest.raises(kind, match=re.escape(text)):
            make(FilePath(node, str(tmp_path)), node)
        assert node.call(len, "abc") == 3
    row = PAGE.split(f"* - {mistake}\n", 1)[1].split("   * - ")[0]
    assert f"``{kind.__name__}``" in row


def test_every_mistake_of_the_page_is_tried() -> None:
    table = PAGE.split("What is refused, and why")[1].split("Looking for a fault")[0]
    assert set(re.findall(r"^   \* - (.+)$", table, re.MULTILINE)) == {"Mistake", *MISTAKES, *MADE_ELSEWHERE}


# Complete


def test_the_page_names_all_that_can_be_imported() -> None:
    inner = {"CallContext", "ChannelSettings", "Factory", "Portable", "RemoteFuture", "Proxy"}
    inner |= {"check_cancelled", "current_call", "running", "sleep", "wait_for"}
    assert {name for name in remoting.__all__ if name not in inner and not re.search(rf"\b{name}\b", PAGE)} == set()


def test_the_page_names_every_method_of_a_path() -> None:
    inner = {"arrive", "depart", "kind", "channel", "path"}
    public = {name for name in vars(FilePath) if not name.startswith("_")} - inner
    assert {name for name in public if f"``{name}``" not in PAGE} == set()


def test_the_page_names_every_option_of_the_commands() -> None:
    assert isinstance(commands, click.Group)
    missing = {name for name in commands.commands if f"``zuul-launcher node {name} " not in PAGE}
    for command in commands.commands.values():
        options = [max(each.opts, key=len) for each in command.params if isinstance(each, click.Option)]
        missing |= {option for option in options if option not in PAGE}
    assert missing == set()
