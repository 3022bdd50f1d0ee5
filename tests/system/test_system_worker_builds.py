"""What builds of a manager as it is run show, many of them at once, and what is kept of them."""

import base64
import json
import re
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from support.gearman_places import any_server
from support.gearman_wire import Place
from support.waiting import wait_until
from support.worker_site import GearScheduler, WorkerSite

from zuul_launcher.worker.history.history import SqlHistory
from zuul_launcher.worker.parts import BuildRecord

HOLD = """\
jobs:
  - name: hold
    steps: [{shell: "#!/bin/sh\\nuntil [ -e FOLDER/go ]; do sleep 0.3; done"}]
  - name: unit
    steps: [{shell: echo done}]
"""
MANY_NODES, EXECUTORS, MANY_JOBS = 10, 5, 200
IDLE_SECONDS = 10.0  # the row says one; a machine that is busy with other tests needs more for each build


@pytest.fixture
def ours() -> Iterator[Place]:
    """The built-in server, where the server has no part in what is shown."""
    with any_server("ours") as place:
        yield place


def hold(folder: Path) -> str:
    return HOLD.replace("FOLDER", str(folder))


def records(site: WorkerSite) -> list[BuildRecord]:
    engine = create_engine(f"sqlite:///{site.folder}/state/worker/worker.sqlite")
    try:
        return list(SqlHistory(engine).recent(limit=1000))
    finally:
        engine.dispose()


def jobs_of(place: Place, function: str) -> tuple[int, int]:
    """All that the server has, and those of them that somebody runs."""
    wire = place.connect()
    lines = [line.split("\t") for line in wire.ask_list("status")]
    wire.close()
    return next(((int(all_), int(running)) for name, all_, running, _ in lines if name == function), (0, 0))


def test_many_executors_are_busy_while_jobs_wait(server: Place, tmp_path: Path) -> None:
    """D24. First all at once; then, as they end, none is idle for long while there is something to do."""
    names = [f"n{number}" for number in range(MANY_NODES)]
    nodes = "".join(f"  - {{name: {name}, executors: {EXECUTORS}}}\n" for name in names)
    (tmp_path / "nodes.yaml").write_text(f"nodes:\n{nodes}")
    options = f"nodes = {tmp_path}/nodes.yaml"
    with (
        WorkerSite(tmp_path / "builder", server.port, hold(tmp_path), options=options) as site,
        GearScheduler(server.port) as scheduler,
    ):
        builds = [scheduler.build("hold", f"u{number}") for number in range(MANY_JOBS)]
        wait_until(lambda: sum(bool(build.data) for build in builds) >= MANY_NODES * EXECUTORS, what="all executors")
        begun = Counter(build.said[0]["node_name"] for build in builds if build.data)
        assert begun == dict.fromkeys(names, EXECUTORS)
        assert jobs_of(server, "build:hold") == (MANY_JOBS, MANY_NODES * EXECUTORS)

        (tmp_path / "go").touch()
        wait_until(lambda: all(build.complete for build in builds), deadline=240, what="all builds")
        ends = {build.outcome: site.console("hold", build.said[-1]["number"]) for build in builds}
        assert set(ends) == {"SUCCESS"}, (ends, site.log())
        found = records(site)
    assert Counter(record.unique for record in found) == dict.fromkeys((f"u{n}" for n in range(MANY_JOBS)), 1)
    last = max(record.started_at for record in found)
    for executor in (f"{name}_exec-{index}" for name in names for index in range(EXECUTORS)):
        own = sorted((one for one in found if one.worker == executor), key=lambda one: one.started_at)
        ends = [one.finished_at or 0.0 for one in own]
        begins = [one.started_at for one in own[1:]] + [last]
        assert max(begin - end for begin, end in zip(begins, ends, strict=True)) < IDLE_SECONDS


def test_a_build_by_hand_on_the_last_executor_keeps_a_job_in_the_queue(server: Place, tmp_path: Path) -> None:
    """D25."""
    with (
        WorkerSite(tmp_path / "builder", server.port, hold(tmp_path), options="executors = 1") as site,
        GearScheduler(server.port) as scheduler,
    ):
        status: list[int] = []
        by_hand = threading.Thread(target=lambda: status.append(site.run("run", "hold").returncode))
        by_hand.start()
        wait_until(lambda: [one["busy"] for one in site.get("api/nodes")] == [1], what="the build by hand")
        waiting = scheduler.build("unit")
        assert site.run("reload").returncode == 0  # which wakes all
        assert jobs_of(server, "build:unit") == (1, 0)
        (tmp_path / "go").touch()
        assert scheduler.wait_ended(waiting) == "SUCCESS"
        by_hand.join()
        assert status == [0]
        first, second = sorted(records(site), key=lambda record: record.started_at)
        assert (first.job, second.job) == ("hold", "unit")
        assert second.started_at >= (first.finished_at or time.time())


def test_steps_see_what_the_client_sent_and_what_the_manager_knows(ours: Place, tmp_path: Path) -> None:
    """D31, D34."""
    names = ["NODE_NAME", "NODE_LABELS", "BUILD_NUMBER", "JOB_NAME", "WORKSPACE", "EXECUTOR_NUMBER", "BUILD_TAG"]
    script = "".join(f"\n        echo {name}=${name}" for name in [*names, "N", "B"])
    jobs = f"jobs:\n  - name: team/env\n    steps:\n    - shell: |\n        #!/bin/sh{script}\n"
    with (
        WorkerSite(tmp_path / "builder", ours.port, jobs, options="executors = 1\nlabels = linux docker") as site,
        GearScheduler(ours.port) as scheduler,
    ):
        assert scheduler.wait_ended(scheduler.build("team/env", N=7, B=True)) == "SUCCESS"
        console = site.console("team%2Fenv", 1)
    assert dict(re.findall("^([A-Z_]+)=(.*)$", console, re.MULTILINE)) == {
        "NODE_NAME": "master",
        "NODE_LABELS": "built-in docker linux",
        "BUILD_NUMBER": "1",
        "JOB_NAME": "team/env",
        "WORKSPACE": f"{tmp_path}/builder/state/worker/nodes/built-in/workspace/team%2Fenv",
        "EXECUTOR_NUMBER": "0",
        "BUILD_TAG": "jenkins-team-env-1",
        "N": "7",
        "B": "true",
    }


def test_no_secret_is_shown_anywhere(ours: Place, tmp_path: Path) -> None:
    """D91. Not on any page, in any packet, log, or file of the manager but the one that holds it."""
    secret = "s3cret-v4lue"
    encoded = base64.b64encode(secret.encode()).decode()
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text(f"token: {{text: {secret}}}\n")
    secrets.chmod(0o600)
    report = """<testsuite name="s"><testcase name="$T"><failure message="$T">$T</failure></testcase></testsuite>"""
    jobs = f"""
jobs:
  - name: unit
    credentials: {{T: token}}
    steps:
    - shell: |
        echo "plain $T"; echo "encoded $(printf %s "$T" | base64)"; printf %s "$T" | base64 -d || true
        printf '%s' "$T" | cut -c 1-6; echo '{report}' | sed "s/[$]T/$T/g" > r.xml
    publish: [{{junit: {{paths: [r.xml]}}}}]
"""
    pages = "", "job/unit/1/", "job/unit/1/api/json", "job/unit/1/console", "job/unit/1/consoleText"
    pages += "job/unit/1/logText/progressiveText?start=0", "job/unit/1/testReport/api/json", "api/builds", "health"
    with (
        WorkerSite(tmp_path / "builder", ours.port, jobs, options=f"secrets = {secrets}") as site,
        GearScheduler(ours.port) as scheduler,
    ):
        build = scheduler.build("unit")
        assert scheduler.wait_ended(build) == "UNSTABLE"
        console = site.console("unit", 1)
        assert ("plain ****\n" in console, "encoded ****\n" in console) == (True, True)
        shown = {page: _page(site, page) for page in pages}
        shown["packets"] = json.dumps(build.said)
        shown["builds"] = site.run("builds", "--format", "json").stdout
        shown["log"] = site.log()
    kept = {str(path): path.read_bytes().decode(errors="replace") for path in _files(tmp_path) if path != secrets}
    kept.pop(f"{site.folder}/state/worker/nodes/built-in/workspace/unit/r.xml")  # the build's own
    assert any(path.endswith("worker.sqlite") for path in kept)
    assert [where for where, text in (shown | kept).items() if secret in text or encoded in text] == []


def _page(site: WorkerSite, path: str) -> str:
    with urllib.request.urlopen(f"{site.url}/{path}", timeout=20) as answer:
        text: str = answer.read().decode()
    return text


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_old_builds_are_forgotten_and_one_that_runs_is_not(ours: Place, tmp_path: Path) -> None:
    """D97."""
    jobs = f"""
jobs:
  - name: unit
    keep: {{builds: 2}}
    steps: [{{shell: '[ -z "$HOLD" ] || until [ -e {tmp_path}/go ]; do sleep 0.3; done'}}]
"""
    site = WorkerSite(tmp_path / "builder", ours.port, jobs, options="executors = 2")
    with GearScheduler(ours.port) as scheduler, site:
        for build in [scheduler.build("unit") for _ in range(4)]:
            assert scheduler.wait_ended(build) == "SUCCESS"
        assert site.terminate() == 0
        site.start()
        running = scheduler.build("unit", HOLD=1)
        assert scheduler.wait_started(running)["number"] == 5
        wait_until(lambda: {one.number for one in records(site)} == {3, 4, 5}, what="a look at old builds")
        folders = site.folder / "state" / "worker" / "builds" / "unit"
        assert {path.name for path in folders.iterdir()} == {"3", "4", "5"}
        (tmp_path / "go").touch()
        assert scheduler.wait_ended(running) == "SUCCESS"


def test_the_same_files_read_again_take_nothing_back(server: Place, tmp_path: Path) -> None:
    """D17."""
    with WorkerSite(tmp_path / "builder", server.port, hold(tmp_path), options="executors = 2") as site:
        ended, seen = threading.Event(), list[int]()
        wire = server.connect()

        def offering() -> list[int]:
            """How many executors do, as the server knows it."""
            lines = [line.split("\t") for line in wire.ask_list("status")]
            return [int(workers) for name, _, _, workers in lines if name == "build:unit"]

        def look() -> None:
            while not ended.is_set():
                seen.extend(offering())

        wait_until(lambda: offering() == [2], what="both executors")
        looking = threading.Thread(target=look)
        looking.start()
        try:
            for _ in range(3):
                assert site.run("reload").returncode == 0
            wait_until(lambda: len(seen) > 100, what="looks at the server")
        finally:
            ended.set()
            looking.join()
    assert set(seen) == {2}
