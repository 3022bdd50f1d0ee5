"""A gate that also reports by mail and into a database, and is measured, with real processes."""

import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, select
from support.mail_server import MailServer
from support.system import ONE_JOB, Gate, prepared_gate
from support.waiting import free_port, wait_until

from zuul_launcher.report import sqltables
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

LAYOUT = (
    """\
pipelines:
  - name: gate
    manager: DependentPipelineManager
    footer-message: See the wiki.
    trigger:
      gerrit:
        - event: comment-added
          approval:
            - code-review: 2
    start:
      mail: {to: bob@example.net}
    success:
      gerrit: {verified: 2, submit: true}
      mail: {to: ann@example.net, subject: "{change.number} landed"}
      reports: {score: 1}
    failure:
      gerrit: {verified: -2}
      mail: {}
      reports: {score: -1}
"""
    + ONE_JOB
)
CONNECTIONS = """
[connection mail]
driver = smtp
server = 127.0.0.1
port = {port}
default_to = all@example.net

[connection reports]
driver = sql
dburi = sqlite:///{folder}/reports.sqlite
"""


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """It only listens; the scheduler is told of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        found.settimeout(60)
        monkeypatch.setenv("STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("STATSD_PORT", str(found.getsockname()[1]))
        yield found


def begin(gate: Gate, port: int) -> None:
    """Start all, with a mail server at this port."""
    config = gate.site.config
    config.write_text(config.read_text() + CONNECTIONS.format(port=port, folder=gate.folder))
    gate.site.start()


def metrics(gate: Gate) -> str:
    with urllib.request.urlopen(f"{gate.site.url}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def test_verdicts_go_to_gerrit_mail_and_database_and_are_measured(
    stand_in: SimGerrit, statsd: socket.socket, tmp_path: Path
) -> None:
    with MailServer() as server, prepared_gate(tmp_path, stand_in, LAYOUT) as gate:
        begin(gate, server.port)
        with gate.working():
            gate.wait_until_ready()
            good = gate.propose("alpha", "new")
            gate.wait_for_builds(("unit", good.number))
            gate.release(good)
            gate.wait_for_status("MERGED", good)
            bad = gate.propose("beta", "broken")
            gate.worker.release_all()
            gate.wait_for_reports(bad, 1)
            gate.wait_until_idle()
            wait_until(lambda: len(server.mails) == 4, what="four mails")
            measured = metrics(gate)
            wait_until(lambda: 'zuul_connection_up{connection="sql:reports"} 1.0' in metrics(gate), what="gauges")
        sent = [(mail.recipients, mail.message["Subject"]) for mail in server.mails]
        assert sent == [
            (["bob@example.net"], f"Report for change {good.id}"),
            (["ann@example.net"], f"{good.number} landed"),
            (["bob@example.net"], f"Report for change {bad.id}"),
            (["all@example.net"], f"Report for change {bad.id}"),
        ]
        texts = [re.sub(r" in \d+s$", " in 0s", mail.message.get_content(), flags=re.M) for mail in server.mails]
        url = "http://w1.example.net/job/unit"
        assert texts == [
            "Starting gate jobs.\nSee the wiki.\n",
            f"Build succeeded.\n\n- {url}/1/ : SUCCESS in 0s\n\nSee the wiki.\n",
            "Starting gate jobs.\nSee the wiki.\n",
            f"Build failed.\n\n- {url}/2/ : FAILURE in 0s\n\nSee the wiki.\n",
        ]
        assert gate.reports(good) == [texts[1].strip()]
        assert gate.complaints() == []
    buildsets, builds = stored(tmp_path)
    assert buildsets == [
        (int(good.number), 1, "Build succeeded.\nSee the wiki."),
        (int(bad.number), -1, "Build failed.\nSee the wiki."),
    ]
    assert builds == [("unit", "SUCCESS", f"{url}/1/"), ("unit", "FAILURE", f"{url}/2/")]
    for line in ('zuul_builds_total{job="unit",pipeline="gate",result="SUCCESS"} 1.0', 'zuul_items{pipeline="gate"} 0'):
        assert line in measured
    keys = set()
    while not {"zuul.pipeline.gate.job.unit.FAILURE", "gerrit.event.comment-added"} <= keys:
        keys.add(statsd.recv(2000).decode().partition(":")[0])


def stored(folder: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What the database of reports has: change, score and message; job, result and address."""
    engine = create_engine(f"sqlite:///{folder}/reports.sqlite", poolclass=NullPool)
    buildset, build = sqltables.buildset.c, sqltables.build.c
    with engine.connect() as connection:
        buildsets = connection.execute(select(buildset.change, buildset.score, buildset.message).order_by(buildset.id))
        builds = connection.execute(select(build.job_name, build.result, build.log_url).order_by(build.id))
        return [tuple(row) for row in buildsets], [tuple(row) for row in builds]


def test_changes_land_while_the_mail_server_is_away_and_mails_come_later(stand_in: SimGerrit, tmp_path: Path) -> None:
    port = free_port()
    with prepared_gate(tmp_path, stand_in, LAYOUT) as gate:
        begin(gate, port)
        with gate.working():
            gate.wait_until_ready()
            first, second = gate.propose("alpha", "new"), gate.propose("beta", "new")
            gate.worker.release_all()
            gate.wait_for_status("MERGED", first, second)
            gate.wait_until_idle()
        assert "mail:mail: Mail waits" in gate.log()
        wait_until(lambda: 'zuul_outbox_pending{target="mail:mail"}' in metrics(gate), what="mails that wait")
        assert 'zuul_connection_up{connection="mail:mail"} 0.0' in metrics(gate)
        gate.site.kill("scheduler")
        with MailServer(port) as server:
            gate.site.start_scheduler()
            wait_until(lambda: len(server.mails) >= 4, what="the mails")
            subjects = [mail.message["Subject"] for mail in server.mails]
    assert sorted(subjects) == sorted(
        f"Report for change {change.id}" if is_start else f"{change.number} landed"
        for change in (first, second)
        for is_start in (True, False)
    )
