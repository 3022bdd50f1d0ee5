"""The demo as people run it: without a terminal, on one, with `--keep`, cut short, and on a real Gerrit."""

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.ssh_server import path_of
from support.waiting import wait_until

SECONDS = 150
REAL_SECONDS = 280
SIZE = {"COLUMNS": "80", "LINES": "40"}
PROGRAM = Path(sys.executable).parent / "zuul-launcher"
ORDER = "9 of 11 changes merged, in this order: 1,1, 2,1, 3,1, 4,1, 7,1, 8,1, 9,1, 11,1, 10,2"


class Demo:
    """A running demo, what it has printed so far, and the folders that it may write to."""

    def __init__(self, process: subprocess.Popen[bytes], output: int, folder: Path) -> None:
        self.process = process
        self.text = ""
        self.home, self.temporary = folder / "home", folder / "tmp"
        self._output = output
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._output, 65536)
            except OSError:  # how a terminal ends
                return
            if not data:
                return
            self.text += data.decode(errors="replace")

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self.text or self.process.poll() is not None, SECONDS, words)
        assert words in self.text, self.text[-5000:]

    def end(self, seconds: float = SECONDS) -> int:
        status = self.process.wait(seconds)
        self._reader.join()
        return status

    def our_processes(self) -> dict[int, str]:
        """Process ids and command lines of what runs with the demo's folder."""
        lines = {int(path.parent.name): _read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
        return {pid: line for pid, line in lines.items() if str(self.temporary) in line}

    def leaves_nothing(self) -> bool:
        return not self.our_processes() and list(self.temporary.iterdir()) == list(self.home.iterdir()) == []


@contextmanager
def _demo(folder: Path, *arguments: str, on_terminal: bool = False, path: str | None = None) -> Iterator[Demo]:
    """Ended at the latest with the block. path: in place of PATH."""
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    environment = {**os.environ, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "TERM": "xterm"} | SIZE
    environment["PATH"] = path or environment["PATH"]
    reading, writing = pty.openpty() if on_terminal else os.pipe()
    process = subprocess.Popen(
        [str(PROGRAM), "demo", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        start_new_session=True,
    )
    os.close(writing)
    demo = Demo(process, reading, folder)
    try:
        yield demo
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        demo.end()
        os.close(reading)


def _check_story(text: str) -> None:
    """The end of it: order, reasons, counts."""
    flat = " ".join(text.replace("│", " ").split())
    assert ORDER in flat, text[-5000:]
    builds = r"\d+( \(\d+ stopped\))?"
    assert re.search(rf"5,1 app {builds} Take leave loudly — not merged: Build failed. unit: FAILURE", flat), text[
        -5000:
    ]
    assert re.search(rf"6,1 app {builds} Greet cordially — not merged: Merge Failed. hello.sh", flat), text[-5000:]
    assert "empty for 9 of 9" in flat
    assert "NOT AS EXPECTED" not in flat
    counted = re.search(r"(\d+) builds ran, (\d+) of them were stopped; up to (\d+) changes", flat)
    assert counted
    assert int(counted[2]) >= 2  # both jobs of the patch set that was replaced
    assert int(counted[3]) >= 4


def test_without_a_terminal_and_ssh_the_demo_tells_the_story_in_lines_and_leaves_nothing(tmp_path: Path) -> None:
    # git, and what a POSIX system has: the jobs are shell scripts.
    path = path_of(tmp_path / "programs", "git", "sh", "tr", "grep", "cat", "sleep")
    with _demo(tmp_path, path=path) as demo:
        assert demo.end() == 0, demo.text
    first = demo.text.splitlines()[:4]
    assert first[0].startswith("Three projects")
    assert re.fullmatch(r"The page: http://127.0.0.1:\d+/ \(open it in a browser while this runs\)", first[1])
    assert re.fullmatch(r"Builds and their consoles: http://127.0.0.1:\d+/", first[2])
    assert re.fullmatch(r"starting stand-in Gerrit \.\.\. \d+\.\d s", first[3])
    assert "\x1b" not in demo.text
    assert re.search(r"^ +\d+\.\d s  10,2 docs: ben uploads “Show an example”$", demo.text, re.MULTILINE)
    merged = re.findall(r"^ +\d+\.\d s  (\d+,\d) \w+: MERGED$", demo.text, re.MULTILINE)
    assert merged == ["1,1", "2,1", "3,1", "4,1", "7,1", "8,1", "9,1", "11,1", "10,2"]
    _check_story(demo.text)
    assert demo.leaves_nothing()


def test_on_a_terminal_the_queues_are_live_and_kept_until_interrupted(tmp_path: Path) -> None:
    with _demo(tmp_path, "--keep", on_terminal=True) as demo:
        demo.wait_for("Press Ctrl-C")
        assert "on top of" in demo.text
        assert "what happened" in demo.text
        _check_story(demo.text)
        page = re.search(r"^The page: (http://\S+/)\r?$", demo.text, re.MULTILINE)
        assert page
        assert "status.json" in _get(page[1])
        console = re.search(r"^the console that says why 5,1 failed: (http://\S+/)\r?$", demo.text, re.MULTILINE)
        assert console
        assert "FAILURE" in _get(console[1])
        assert re.search(r"lib/shout\.sh.*\n(.*\n)*Finished: FAILURE$", _get(f"{console[1]}consoleText"))
        commands = [shlex.split(line) for line in re.findall(r"^  (/\S+ --config .*?)\r?$", demo.text, re.MULTILINE)]
        done = [subprocess.run(command, capture_output=True, text=True, timeout=60) for command in commands]
        assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 4
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 0, demo.text[-3000:]
    assert demo.leaves_nothing()


def test_an_interrupt_in_the_middle_ends_everything_and_a_second_one_does_not_disturb(tmp_path: Path) -> None:
    with _demo(tmp_path) as demo:
        demo.wait_for("MERGED")
        assert demo.our_processes()
        demo.process.send_signal(signal.SIGINT)
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 1
    assert "Aborted!" in demo.text
    assert demo.leaves_nothing()


def test_after_an_error_the_logs_stay_and_the_place_is_told(tmp_path: Path) -> None:
    with _demo(tmp_path) as demo:
        demo.wait_for("enters check")
        (scheduler,) = (pid for pid, line in demo.our_processes().items() if " scheduler " in line)
        os.kill(scheduler, signal.SIGKILL)
        assert demo.end() == 1
    told = re.search(r"The logs are kept in (\S+)", demo.text)
    assert told
    assert {path.suffix for path in Path(told[1]).iterdir()} >= {".log", ".conf"}
    assert demo.our_processes() == {}


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def _read(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.gerrit
@pytest.mark.timeout(REAL_SECONDS + 60)
def test_the_demo_tells_the_same_story_on_a_real_gerrit(tmp_path: Path) -> None:
    with _demo(tmp_path, "--gerrit", "real") as demo:
        assert demo.end(REAL_SECONDS) == 0, demo.text
    _check_story(demo.text)
    assert demo.our_processes() == {}
