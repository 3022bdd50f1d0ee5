"""Commands over the socket of a manager."""

import json
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from zuul_launcher.errors import RemoteUnavailable, ZuulLauncherError
from zuul_launcher.worker.control import SOCKET, Control, NobodyThere, Refused, Tell, ask


def count(arguments: Mapping[str, Any], tell: Tell) -> int:
    for number in range(arguments["to"]):
        tell({"counted": number})
    return int(arguments["to"])


def refuse(arguments: Mapping[str, Any], tell: Tell) -> None:
    raise ZuulLauncherError("no node of this name: near")


def read(arguments: Mapping[str, Any], tell: Tell) -> str:
    return Path(arguments["path"]).read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Its name is longer than an address of a socket may be."""
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    control = Control(folder, {"count": count, "refuse": refuse, "read": read})
    control.start()
    yield folder
    control.stop()
    assert not (folder / SOCKET).exists()


def test_a_command_is_answered_after_its_news(folder: Path) -> None:
    news: list[Any] = []
    assert ask(folder, "count", {"to": 3}, news.append) == 3
    assert news == [{"counted": 0}, {"counted": 1}, {"counted": 2}]


def test_a_command_that_is_refused_or_unknown_or_malformed_says_so(folder: Path) -> None:
    with pytest.raises(Refused, match="no node of this name: near"):
        ask(folder, "refuse", {}, print)
    with pytest.raises(Refused, match="knows no command 'dance'"):
        ask(folder, "dance", {}, print)
    with pytest.raises(Refused, match="KeyError"):
        ask(folder, "count", {}, print)
    with pytest.raises(Refused, match="FileNotFoundError"):
        ask(folder, "read", {"path": str(folder / "nowhere")}, print)


def test_only_its_user_can_reach_it(folder: Path) -> None:
    assert stat.S_IMODE((folder / SOCKET).stat().st_mode) == 0o600


def test_nobody_there_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(NobodyThere, match=r"no worker answers in .*: is it running"):
        ask(tmp_path, "count", {}, print)
    with pytest.raises(NobodyThere, match=r"no worker answers in .*: is it running"):
        ask(tmp_path / "nowhere", "count", {}, print)


def test_a_manager_that_goes_away_meanwhile_is_not_taken_for_none(tmp_path: Path) -> None:
    """What it began may be done: it must not be begun again."""
    with socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(tmp_path / SOCKET))
        manager.listen()

        def go_away() -> None:
            connection, _ = manager.accept()
            with connection:
                connection.makefile("rb").readline()
                connection.sendall(b'{"news": {"number": 1}}\n')

        leaving = threading.Thread(target=go_away)
        leaving.start()
        news: list[Any] = []
        with pytest.raises(RemoteUnavailable, match="ended before it answered") as raised:
            ask(tmp_path, "run", {}, news.append)
        leaving.join(60)
    assert news == [{"number": 1}]
    assert not isinstance(raised.value, NobodyThere)


def test_the_socket_of_a_killed_manager_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))
    control = Control(tmp_path, {"count": count})
    control.start()
    assert ask(tmp_path, "count", {"to": 0}, print) == 0
    control.stop()


def test_a_line_that_is_no_command_ends_nothing(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(_short(folder))
        connection.sendall(b"[1, 2\n")
        assert "error" in json.loads(connection.makefile("rb").readline())
    assert ask(folder, "count", {"to": 1}, print) == 1


def _short(folder: Path) -> str:
    link = folder.parent / "s"
    link.symlink_to(folder)
    return str(link / SOCKET)
