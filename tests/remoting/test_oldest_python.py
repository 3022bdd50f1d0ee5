"""Files, processes and test results of a node whose Python is the oldest that is supported."""

import io
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from support import node_code, remote_code
from support.remoting_nodes import OLDEST, interpreters
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, LogSink, connect_subprocess
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.junit import summarise_junit
from zuul_launcher.remoting.launcher import Launcher

BIG = bytes(range(250)) * 12_000


@pytest.fixture(scope="module")
def old() -> Iterator[Channel]:
    if OLDEST not in interpreters():
        here = ", ".join(f"3.{minor}" for minor in interpreters())
        pytest.skip(f"no Python 3.{OLDEST} on PATH or in pyenv, where only {here} are")
    with connect_subprocess([interpreters()[OLDEST]]) as channel:
        channel.allow("support.node_code")
        channel.allow("support.remote_code")
        yield channel


def test_files_are_written_copied_found_and_deleted(old: Channel, tmp_path: Path) -> None:
    folder = FilePath(old, str(tmp_path))
    (folder / "a").mkdirs()
    with (folder / "a/b").open("wb") as stream:
        stream.write(BIG)
    assert (folder / "a/b").read_bytes() == BIG
    assert (folder / "a/b").digest("md5") == FilePath(None, str(tmp_path / "a" / "b")).digest("md5")
    folder.copy_tree_to(FilePath(None, str(tmp_path) + "-copy"))
    FilePath(None, str(tmp_path) + "-copy").copy_tree_to(folder / "back")
    (folder / "a").copy_tree_to(folder / "beside")
    assert [str(path) for path in folder.list("**/b")] == [f"{tmp_path}/{each}/b" for each in ("a", "back/a", "beside")]
    folder.delete_tree()
    assert not tmp_path.exists()


class Counter:
    def __init__(self) -> None:
        self.value = 0

    def up(self) -> int:
        self.value += 1
        return self.value


def test_proxies_and_sinks_work_and_are_released(old: Channel) -> None:
    lines: list[str] = []
    counter = Counter()
    assert old.call(remote_code.call_method, old.export(counter, ["up"]), "up") == 1
    assert old.call(remote_code.give, old.export(counter, ["up"])) is counter
    old.call(remote_code.write_lines, LogSink(lines.append), 2)
    assert "".join(lines) == "line 0\nline 1\n"
    wait_until(lambda: not old.dump()["exports"], what="the release")
    with pytest.raises(ModuleNotFoundError, match=r'channel\.allow\("no_such_module_o"\)'):
        old.call(import_module, "no_such_module_o")


def test_processes_run_and_are_ended(old: Channel) -> None:
    output = io.BytesIO()
    assert Launcher(old).launch(["sh", "-c", "cat; exit 5"], stdin=b"text", stdout=output).join(60) == 5
    assert output.getvalue() == b"text"
    with Launcher(old).launch(["sleep", "1000"]) as process:
        process.kill()
        assert process.wait(60) == -15
    assert old.call(node_code.run_here, ["sh", "-c", "exit 4"]) == 4
    assert Launcher(old).end_marked({"NOBODY_HAS": "this"}) == 0


def test_results_are_summed_up(old: Channel, tmp_path: Path) -> None:
    (tmp_path / "TEST-a.xml").write_text('<testsuite><testcase name="x"><failure>why</failure></testcase></testsuite>')
    summary = FilePath(old, str(tmp_path)).act(summarise_junit, ["**/*.xml"])
    assert [(case.name, case.text) for case in summary.failed] == [("x", "why")]
