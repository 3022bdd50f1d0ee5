"""The files of doc/quickstart.rst as they stand there: whoever writes them has a gate with builds."""

import configparser
import os
import re
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.waiting import free_port, wait_until

from zuul_launcher.errors import RemoteError
from zuul_launcher.gearman.probe import status
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

PAGE = Path(__file__).parents[2] / "doc" / "quickstart.rst"
BLOCK = re.compile(r"^   \.\. code-block:: (?:ini|yaml)\n\n((?: {7}.*\n|\n)+)", re.MULTILINE)


@pytest.fixture
def site(tmp_path: Path, stand_in: SimGerrit) -> Path:
    """A folder with the files, where only places, ports and Gerrit's address are other ones."""
    zuul_conf, layout, jobs, _, nodes = (textwrap.dedent(block) for block in BLOCK.findall(PAGE.read_text()))
    (tmp_path / "layout.yaml").write_text(layout)
    (tmp_path / "jobs.yaml").write_text(jobs)
    (tmp_path / "nodes.yaml").write_text(nodes)
    text = zuul_conf.replace("/etc/zuul", str(tmp_path)).replace("/var/lib/zuul", str(tmp_path / "home"))
    conf = configparser.ConfigParser()
    conf.read_string(text)
    gearman, page, builds = (str(free_port()) for _ in range(3))
    conf["gearman"]["port"] = conf["gearman_server"]["port"] = gearman
    conf["webapp"] = {"port": page, "listen_address": "127.0.0.1"}
    conf["worker"].update({"port": builds, "listen_address": "127.0.0.1", "url": f"http://127.0.0.1:{builds}/"})
    conf["connection gerrit"].update({"server": stand_in.host, "port": str(stand_in.port)})
    with (tmp_path / "zuul.conf").open("w") as file:
        conf.write(file)
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text(stand_in.known_hosts_line() + "\n")
    (tmp_path / "home" / ".ssh" / "id_ed25519").write_bytes(stand_in.key_file("zuul").read_bytes())
    (tmp_path / "home" / ".ssh" / "id_ed25519").chmod(0o600)
    return tmp_path


def _command(site: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "zuul_launcher.cli.main", "--config", str(site / "zuul.conf"), *arguments]


def _offers_builds(site: Path) -> bool:
    """Whether a worker has told the Gearman server of its jobs: a change that comes before would find none."""
    conf = configparser.ConfigParser()
    conf.read(site / "zuul.conf")
    try:
        found = status("127.0.0.1", conf.getint("gearman", "port"))
    except RemoteError:
        return False
    return any(function.name.startswith("build:") and function.workers for function in found.functions)


@contextmanager
def _serving(site: Path) -> Iterator[Path]:
    """Its log."""
    environment = {**os.environ, "HOME": str(site / "home")}
    path = site / "serve.log"
    with path.open("wb") as log, subprocess.Popen(_command(site, "serve"), env=environment, stderr=log) as process:
        try:
            yield path
        finally:
            process.terminate()
            assert process.wait(60) == 0


@pytest.mark.parametrize("command", [["validate"], ["worker", "validate"]])
def test_the_files_are_valid_with_the_nodes_that_it_shows(site: Path, command: list[str]) -> None:
    text = (site / "zuul.conf").read_text()
    (site / "zuul.conf").write_text(text.replace("[worker]\n", f"[worker]\nnodes = {site}/nodes.yaml\n"))
    done = subprocess.run(_command(site, *command), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_change_is_tested_reported_with_a_link_to_its_console_and_merged(site: Path, stand_in: SimGerrit) -> None:
    stand_in.create_project("example", {"Makefile": "test:\n\techo it works\n"})
    with _serving(site) as log:
        wait_until(lambda: "events are being watched" in log.read_text(), what="Gerrit's events")
        wait_until(lambda: _offers_builds(site), what="a worker")
        change = stand_in.push_change("example", "master", {"new": "x\n"}, "Add new")
        wait_until(lambda: stand_in.votes(change).get("Verified") == {"zuul": 1}, what=f"the vote: {log.read_text()}")
        link = re.search(r"^- (http://\S+) : SUCCESS", stand_in.messages(change)[-1], re.MULTILINE)
        assert link
        with urllib.request.urlopen(link[1] + "consoleText", timeout=30) as console:
            assert "\nit works\n" in console.read().decode()
        stand_in.vote(change, "Code-Review", 2)
        wait_until(lambda: stand_in.status(change) == "MERGED", what="the change to be merged")
