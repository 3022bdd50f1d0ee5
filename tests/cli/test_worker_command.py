"""`zuul-launcher worker COMMAND`: what a person types to control a manager, and what they see."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.gearman_places import Proxy, any_server
from support.waiting import free_port, wait_until
from support.worker_site import WorkerSite

from zuul_launcher.cli.worker import worker
from zuul_launcher.settings import load

JJB = Path(__file__).parent.parent / "worker" / "definitions" / "jjb"
JOBS = """\
jobs:
  - {name: unit, steps: [{shell: 'echo "change $ZUUL_CHANGE"'}]}
  - {name: fail, steps: [{shell: exit 3}]}
"""
NODES = """\
nodes:
  - {name: here, labels: [linux]}
  - {name: there, executors: 2}
"""


class Site:
    """A manager with two nodes."""

    def __init__(self, folder: Path, gearman_port: int) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "nodes.yaml").write_text(NODES)
        self.manager = WorkerSite(folder, gearman_port, JOBS, options=f"nodes = {folder}/nodes.yaml")

    def run(self, *arguments: str | Path, code: int = 0) -> Result:
        done = CliRunner().invoke(
            worker, [str(one) for one in arguments], obj=load(self.manager.config), catch_exceptions=False
        )
        assert done.exit_code == code, done.output
        return done

    def said(self, *arguments: str) -> object:
        return json.loads(self.run(*arguments, "--format", "json").stdout)

    def nodes(self) -> dict[str, dict[str, object]]:
        found = json.loads(self.run("nodes", "--format", "json").stdout)
        return {one["name"]: one for one in found}

    def is_healthy(self) -> bool:
        done = CliRunner().invoke(worker, ["health"], obj=load(self.manager.config), catch_exceptions=False)
        assert done.exit_code in (0, 1), done.output
        return done.exit_code == 0

    def offers(self) -> set[str]:
        """Clients that offer builds."""
        found = json.loads(self.run("functions", "--format", "json").stdout)
        return {client for client, names in found.items() if "build:unit" in names}

    def wait_until_offered_by(self, *clients: str) -> None:
        wait_until(lambda: self.offers() == set(clients), what=f"builds of {clients}")


ALL = ("here_exec-0", "there_exec-0", "there_exec-1")


@contextmanager
def started(folder: Path) -> Iterator[tuple[Site, Proxy]]:
    with any_server("ours") as place:
        proxy = Proxy(place.port)
        site = Site(folder, proxy.port)
        with site.manager:
            yield site, proxy
        proxy.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Proxy]]:
    with started(tmp_path_factory.mktemp("worker")) as both:
        yield both


@pytest.fixture
def site(running: tuple[Site, Proxy]) -> Site:
    """As it was at its start."""
    site, _ = running
    site.manager.write_jobs(JOBS)
    site.run("unpause")
    site.run("reload")
    for name in ("here", "there"):
        site.run("node", "online", name)
    site.wait_until_offered_by(*ALL)
    return site


@pytest.fixture
def way(running: tuple[Site, Proxy]) -> Iterator[Proxy]:
    """To the Gearman server; whole again at the end."""
    site, proxy = running
    yield proxy
    proxy.mend()
    wait_until(site.is_healthy, what="the connection")


@pytest.fixture
def ended(tmp_path: Path) -> Site:
    """A manager that has never run, and whose Gearman server is not there."""
    return Site(tmp_path / "site", free_port())


# Taking builds


def test_a_manager_is_paused_and_takes_builds_again(site: Site) -> None:
    assert site.run("pause").stdout == "the manager takes no more builds\n"
    site.wait_until_offered_by()
    assert json.loads(site.run("health").stdout)["queue"]["paused"]
    assert site.run("unpause").stdout == "the manager takes builds\n"
    site.wait_until_offered_by(*ALL)


def test_a_node_is_taken_offline_with_a_reason_and_brought_online(site: Site) -> None:
    site.run("node", "offline", "there", "--reason", "its fan")
    assert site.offers() == {"here_exec-0"}
    assert (site.nodes()["there"]["state"], site.nodes()["there"]["reason"]) == ("offline", "its fan")
    shown = site.run("nodes").stdout
    assert all(word in shown for word in ("there", "offline", "its fan", "here", "online", "linux"))
    site.run("node", "online", "there")
    site.wait_until_offered_by(*ALL)
    site.run("node", "offline", "there")
    assert site.nodes()["there"]["reason"] == "by hand"


def test_a_deleted_node_is_gone_until_the_files_are_read_again(site: Site) -> None:
    site.run("node", "delete", "there")
    assert set(site.nodes()) == {"here"}
    site.wait_until_offered_by("here_exec-0")
    assert site.run("reload").stdout == "2 jobs, 2 nodes\n"
    site.wait_until_offered_by(*ALL)


@pytest.mark.parametrize("action", ["offline", "online", "delete"])
def test_a_node_that_is_not_there_is_named(site: Site, action: str) -> None:
    assert site.run("node", action, "nowhere", code=1).stderr == "Error: there is no node 'nowhere'\n"


def test_only_known_things_are_done_with_a_node(site: Site) -> None:
    assert "'burn' is not one of" in site.run("node", "burn", "here", code=2).stderr


# What is shown


def test_functions_are_shown_by_client(site: Site) -> None:
    found = site.said("functions")
    assert isinstance(found, dict)
    assert set(found) == {*ALL, "builder_manager"}
    assert set(found["builder_manager"]) == {"stop:builder", "set_description:builder"}
    shown = site.run("functions").stdout
    assert "there_exec-1" in shown
    assert "set_description:builder" in shown


def test_builds_are_shown_newest_first_and_those_of_one_job(site: Site) -> None:
    site.run("run", "unit")
    site.run("run", "fail", code=1)
    found = site.said("builds", "--limit", "2")
    assert isinstance(found, list)
    assert [(one["job"], one["result"], one["state"]) for one in found] == [
        ("fail", "FAILURE", "over"),
        ("unit", "SUCCESS", "over"),
    ]
    of_unit = site.said("builds", "--job", "unit")
    assert isinstance(of_unit, list)
    assert {one["job"] for one in of_unit} == {"unit"}
    shown = site.run("builds", "--job", "fail").stdout
    assert "FAILURE" in shown
    assert "unit" not in shown
    assert "0 is not in the range" in site.run("builds", "--limit", "0", code=2).stderr


def test_health_is_an_exit_code(site: Site, way: Proxy) -> None:
    assert json.loads(site.run("health").stdout)["status"] == "ok"
    way.cut()
    wait_until(lambda: not site.is_healthy(), what="the loss of the connection")
    found = json.loads(site.run("health", code=1).stdout)
    assert found["status"] == f"no connection to the Gearman server at 127.0.0.1:{way.port}"


def test_all_is_logged_as_long_as_that_is_wanted(site: Site) -> None:
    def is_verbose() -> bool:
        """Of what the server says, when builds are offered again."""
        before = len(site.manager.log())
        site.run("pause")
        site.wait_until_offered_by()
        site.run("unpause")
        site.wait_until_offered_by(*ALL)
        return "DEBUG zuul_launcher.worker.queue" in site.manager.log()[before:]

    assert not is_verbose()
    site.run("verbose", "on")
    wait_until(is_verbose, what="more in its log")
    site.run("verbose", "off")
    wait_until(lambda: not is_verbose(), what="less in its log")
    assert "'loud' is not one of" in site.run("verbose", "loud", code=2).stderr


# By hand


def test_a_build_by_hand_shows_its_console_and_tells_its_result_by_its_exit_code(site: Site) -> None:
    done = site.run("run", "unit", "-p", "ZUUL_CHANGE=7=8", "--node", "there")
    assert "change 7=8\n" in done.stdout
    assert done.stderr.startswith("build ")
    assert done.stderr.endswith("of unit: SUCCESS\n")
    assert site.run("run", "fail", code=1).stderr.endswith("of fail: FAILURE\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("unit", "-p", "A"), 2, "Error: -p 'A': write NAME=VALUE"),
        (("unit", "-p", "=x"), 2, "Error: -p '=x': write NAME=VALUE"),
        (("nosuch",), 1, "Error: there is no job 'nosuch'"),
        (("unit", "--node", "nowhere"), 1, "online"),
        ((), 2, "Missing argument 'JOB'"),
    ],
)
def test_a_build_by_hand_that_cannot_be_run_says_why(
    site: Site, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = site.run("run", *arguments, code=code)
    assert message in done.stderr
    assert done.stdout == ""


def test_idle_agents_are_let_go_and_come_back_for_a_build(site: Site) -> None:
    before = site.manager.log().count("is connected")
    assert site.run("release").stdout == "idle agents are let go\n"
    site.wait_until_offered_by(*ALL)
    assert site.manager.log().count("is connected") == before
    site.run("run", "unit", "--node", "here")
    assert site.manager.log().count("is connected") == before + 1


# Files


def test_a_file_that_is_wrong_changes_nothing_at_a_reload(site: Site) -> None:
    site.manager.write_jobs("jobs: [")
    assert "jobs.yaml:2:1:" in site.run("reload", code=1).stderr
    assert set(site.offers()) == set(ALL)


def test_a_job_that_is_wrong_is_told_at_a_reload_and_the_others_are_read(site: Site) -> None:
    site.manager.write_jobs(f"{JOBS}  - {{name: bad, steps: []}}\n")
    done = site.run("reload")
    assert done.stdout == "2 jobs, 2 nodes\n"
    assert "job 'bad' is not registered" in done.stderr


def test_files_are_judged_without_a_manager(ended: Site) -> None:
    assert ended.run("validate").stdout == "2 jobs, 2 nodes\n"
    ended.manager.write_jobs(f"{JOBS}  - {{name: bad, steps: []}}\n")
    done = ended.run("validate", code=1)
    assert done.stdout == "2 jobs, 2 nodes\n"
    assert "jobs.yaml:4:24: job 'bad' is not registered: expected at least one step" in done.stderr
    ended.manager.write_jobs("jobs: [")
    assert "jobs.yaml:2:1:" in ended.run("validate", code=2).stderr


@pytest.mark.parametrize("name", [".", "..", "a/../b"])
def test_a_job_whose_pages_no_browser_would_reach_is_refused(ended: Site, name: str) -> None:
    ended.manager.write_jobs(f"{JOBS}  - {{name: {name}, steps: [{{shell: x}}]}}\n")
    done = ended.run("validate", code=1)
    assert done.stdout == "2 jobs, 2 nodes\n"
    assert "jobs.yaml:4:12: a job is not registered: each part of a job's name is a folder" in done.stderr


# Jenkins Job Builder


def test_what_of_jenkins_job_builder_is_not_run_is_listed(ended: Site) -> None:
    """D95."""
    done = ended.run("jjb", "check", JJB / "pipeline.yaml", code=1)
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "pipeline: project-type pipeline: not supported",
        "matrix: project-type matrix: not supported",
    ]
    assert "     1 job has project-type pipeline" in lines
    found = json.loads(ended.run("jjb", "check", JJB / "pipeline.yaml", "--format", "json", code=1).stdout)
    assert found["registered"] == ["plain"]
    assert found["lines"][0] == lines[0]
    assert found["total"] == 4
    assert found["parts"]["project-type pipeline"] == 1


def test_what_of_jenkins_job_builder_is_run_is_no_complaint(ended: Site, tmp_path: Path) -> None:
    """D95. Also because a part of it was left out knowingly."""
    path = tmp_path / "jjb.yaml"
    path.write_text("- job: {name: fine, builders: [{shell: make}], publishers: [{cloverphp: {xml-location: x}}]}\n")
    assert "fine: publisher cloverphp: not supported" in ended.run("jjb", "check", path, code=1).stdout
    found = json.loads(ended.run("jjb", "check", path, "--ignore", "publisher:cloverphp", "--format", "json").stdout)
    assert (found["registered"], found["lines"]) == (["fine"], [])


def test_files_of_jenkins_job_builder_that_are_none_are_refused(ended: Site, tmp_path: Path) -> None:
    assert "does not exist" in ended.run("jjb", "check", tmp_path / "none", code=2).stderr
    (tmp_path / "jjb.yaml").write_text("- job: [")
    assert "jjb.yaml" in ended.run("jjb", "check", tmp_path / "jjb.yaml", code=2).stderr
    assert "'5' is not one of" in ended.run("jjb", "check", tmp_path, "--dialect", "5", code=2).stderr


# Without a manager, and its end

COMMANDS = ["pause", "unpause", "graceful", "stop", "release", "reload", "nodes", "builds", "functions", "health"]


@pytest.mark.parametrize("command", [*COMMANDS, "verbose on", "node offline here"])
def test_a_manager_that_is_not_there_is_one_clear_error(ended: Site, command: str) -> None:
    folder = ended.manager.folder / "state" / "worker"
    done = ended.run(*command.split(), code=1)
    assert done.stderr == f"Error: no worker has run in {folder}: is this its zuul.conf?\n"
    folder.mkdir(parents=True)
    done = ended.run(*command.split(), code=1)
    assert done.stderr == f"Error: no worker answers in {folder} (No such file or directory): is it running?\n"
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["graceful", "stop"])
def test_a_manager_is_told_to_end(ended: Site, command: str) -> None:
    ended.manager.start(wait=False)
    wait_until(lambda: CliRunner().invoke(worker, ["nodes"], obj=load(ended.manager.config)).exit_code == 0)
    assert ended.run(command).stdout.startswith("the manager ends")
    assert ended.manager.wait_for_end() == 0
