"""Reports to mail and SQL connections: apart from Gerrit's, tried for a day, and once if that can be told."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from support.mail_server import MailServer
from support.states import (
    EPOCH,
    add_build,
    add_item,
    make_change,
    make_layout,
    make_pipeline,
    make_ref,
    make_state,
    tree,
)
from support.waiting import free_port, wait_until

from zuul_launcher.db import journal, lease, outbox
from zuul_launcher.db.engine import connect
from zuul_launcher.errors import ConfigurationError
from zuul_launcher.model.actions import Report
from zuul_launcher.model.change import Subject
from zuul_launcher.model.layout import Layout, Reporter
from zuul_launcher.model.queue import Item, State
from zuul_launcher.options import HostName, Port
from zuul_launcher.report import sqltables
from zuul_launcher.service.inbox import Inbox
from zuul_launcher.service.notices import PATIENCE, Notices
from zuul_launcher.service.payload import PAYLOADS, MailPayload, RecordPayload, ReportPayload, World, rows
from zuul_launcher.service.storage import Storage
from zuul_launcher.service.threads import Crew
from zuul_launcher.settings import Connection, SmtpConnection, SqlConnection, Zuul

GERRIT = Reporter(connection="gerrit", options={"verified": 1})
MAIL = Reporter(connection="mail", options={"to": "ann@example.net", "subject": "{change.project} {change.number}"})
SQL = Reporter(connection="reports", options={"score": 1})
DRIVERS = {"gerrit": "gerrit", "mail": "smtp", "other": "smtp", "reports": "sql"}
WORLD = World(zuul=Zuul(), urls={}, parameters=lambda uuid: {}, drivers=DRIVERS)


def playing(*reporters: Reporter, subject: Subject | None = None, **pipeline: Any) -> tuple[State, Layout, Item]:
    """An item whose two jobs succeeded, and who is told."""
    layout = make_layout(
        make_pipeline("gate", success=reporters, start=reporters, **pipeline),
        trees={"lib/alpha": {"gate": tree("unit", "docs")}},
    )
    state = make_state()
    item = add_item(state, layout, subject or make_change())
    times = {"started_at": EPOCH + 10, "ended_at": EPOCH + 15}
    add_build(item, "unit", result="SUCCESS", url="https://logs.example.net/1", node_name="node7", **times)
    add_build(item, "docs", result="SUCCESS", voting=False)
    return state, layout, item


def told(state: State, layout: Layout, item: Item, **action: Any) -> list[outbox.NewRow]:
    report = Report(**{"item": item.id, "attempt": 1, "verdict": "success", "submit": True} | action)
    return rows([report], EPOCH, state, layout, WORLD)


def payloads(found: list[outbox.NewRow]) -> list[Any]:
    return [msgspec.json.decode(row.payload, type=PAYLOADS[row.kind]) for row in found]


def test_each_reporter_that_nobody_waits_for_has_a_row_of_its_own() -> None:
    found = told(*playing(MAIL, GERRIT, SQL, Reporter(connection="other", options={})))
    assert [(row.kind, row.target) for row in found] == [
        ("Mail", "mail:mail"),
        ("Record", "sql:reports"),
        ("Mail", "mail:other"),
        ("Report", "gerrit:gerrit"),
    ]
    report = payloads(found)[-1]
    assert isinstance(report, ReportPayload)
    assert report.reporters == (GERRIT,)
    assert report.submit


def test_without_a_reporter_in_gerrit_its_row_lets_the_item_go_on() -> None:
    report = payloads(told(*playing(MAIL)))[-1]
    assert isinstance(report, ReportPayload)
    assert report.reporters == ()


def test_a_mail_has_the_text_that_gerrit_gets_and_its_own_subject() -> None:
    mail, report = payloads(told(*playing(MAIL, GERRIT)))
    assert isinstance(mail, MailPayload)
    assert mail.mail.text == report.message
    assert (mail.mail.subject, mail.mail.recipients, mail.mail.sender) == ("lib/alpha 4710", "ann@example.net", "")
    assert mail.mail.at == EPOCH


def test_a_mail_about_the_same_report_has_the_same_id_and_any_other_has_not() -> None:
    scene = playing(MAIL, Reporter(connection="other", options={}))
    first, second, _ = payloads(told(*scene))
    again, _, _ = payloads(told(*scene))
    start, _, _ = payloads(told(*scene, verdict="start"))
    later, _, _ = payloads(told(*scene, attempt=2))
    assert again.mail.id == first.mail.id
    assert len({one.mail.id for one in (first, second, start, later)}) == 4


def test_a_record_has_the_builds_in_tree_order_and_the_text_without_them() -> None:
    state, layout, item = playing(SQL)
    payload = payloads(told(state, layout, item))[0]
    assert isinstance(payload, RecordPayload)
    record = payload.record
    assert (record.change, record.patchset, record.ref) == ("4710", "2", "refs/changes/10/4710/2")
    assert (record.zuul_ref, record.score, record.message) == (item.build_set.ref, 1, "Build succeeded.")
    assert [(one.job, one.result, one.voting, one.url, one.node_name) for one in record.builds] == [
        ("unit", "SUCCESS", True, "https://logs.example.net/1", "node7"),
        ("docs", "SUCCESS", False, "docs", None),
    ]
    assert (record.builds[0].started_at, record.builds[1].started_at) == (EPOCH + 10, None)


def test_a_ref_is_told_by_mail_and_record() -> None:
    mail, record, _ = payloads(told(*playing(Reporter(connection="mail", options={}), SQL, subject=make_ref())))
    assert mail.mail.subject == "Report for change " + "2" * 40
    assert (record.record.change, record.record.ref) == (None, "refs/heads/main")


class Scene:
    """A database with an outbox, and the notices of some connections, whose turns the test takes."""

    def __init__(self, engine: Engine, *connections: Connection) -> None:
        self.engine = engine
        token = lease.acquire(engine, "the test", EPOCH, 1e9)
        assert token is not None
        self.now = EPOCH
        self.stopping = threading.Event()
        storage = Storage(engine, token, None, None)
        self.notices = Notices(connections, storage, Inbox(), lambda: self.now, self.stopping)
        self._token = token
        self._sequence = 0

    def store(self, found: list[outbox.NewRow]) -> None:
        self._sequence += 1
        step = journal.Step(
            sequence=self._sequence, at=EPOCH, event=b"{}", actions_hash="", layout="", rows=found, snapshot=b"{}"
        )
        journal.commit(self.engine, self._token, step)

    def turn(self) -> None:
        for outlet in self.notices.outlets:
            outlet.turn()

    def waiting(self) -> list[str]:
        return [row.target for row in outbox.todo(self.engine)]


Start = Callable[..., Scene]


@pytest.fixture
def start(empty_database: bytes, fast_folder: Path) -> Iterator[Start]:
    path = fast_folder / "zuul.sqlite"
    path.write_bytes(empty_database)
    engine = connect(f"sqlite:///{path}")
    yield lambda *connections: Scene(engine, *connections)
    engine.dispose()


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as found:
        yield found


def smtp(port: int, name: str = "mail") -> SmtpConnection:
    return SmtpConnection(name=name, server=HostName("127.0.0.1"), port=Port(port), default_from="zuul@example.net")


def test_a_report_is_mailed_and_stored(start: Start, server: MailServer, tmp_path: Path) -> None:
    scene = start(smtp(server.port), SqlConnection(name="reports", dburi=f"sqlite:///{tmp_path}/reports.sqlite"))
    scene.store(told(*playing(MAIL, GERRIT, SQL)))
    scene.turn()
    (mail,) = server.mails
    assert (mail.sender, mail.recipients) == ("zuul@example.net", ["ann@example.net"])
    engine = sa.create_engine(f"sqlite:///{tmp_path}/reports.sqlite", poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert connection.execute(sa.select(sqltables.build.c.job_name)).scalars().all() == ["unit", "docs"]
    assert scene.waiting() == ["gerrit:gerrit"]


def test_what_is_away_holds_up_nothing_but_its_own(start: Start, server: MailServer, tmp_path: Path) -> None:
    scene = start(
        smtp(free_port()),
        smtp(server.port, "other"),
        SqlConnection(name="reports", dburi=f"sqlite:///{tmp_path}/no/folder.sqlite"),
    )
    other = Reporter(connection="other", options={})
    for _ in range(2):
        scene.store(told(*playing(MAIL, SQL, other)))
        scene.turn()
    assert len(server.mails) == 2
    assert sorted(scene.waiting()) == ["gerrit:gerrit"] * 2 + ["mail:mail"] * 2 + ["sql:reports"] * 2
    assert [outlet.troubled for outlet in scene.notices.outlets] == [True, False, True]
    (tmp_path / "no").mkdir()
    scene.now += 3600
    scene.turn()
    assert sorted(scene.waiting()) == ["gerrit:gerrit"] * 2 + ["mail:mail"] * 2


def test_a_mail_is_given_up_a_day_after_its_verdict(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    scene = start(smtp(free_port()))
    scene.store(told(*playing(MAIL)))
    for hours in (0, 12, 23.9):
        scene.now = EPOCH + hours * 3600
        scene.turn()
        assert scene.waiting() == ["mail:mail", "gerrit:gerrit"]
    scene.now = EPOCH + PATIENCE
    scene.turn()
    assert scene.waiting() == ["gerrit:gerrit"]
    assert "is given up: tried for 24 hours" in caplog.messages[-1]


def test_a_final_no_is_not_tried_again(start: Start, server: MailServer, caplog: pytest.LogCaptureFixture) -> None:
    server.behaviour.answers = {"RCPT": "550 who?"}
    scene = start(smtp(server.port))
    scene.store(told(*playing(MAIL)))
    scene.turn()
    assert scene.waiting() == ["gerrit:gerrit"]
    assert "is given up" in caplog.messages[-1]
    assert "550 who?" in caplog.messages[-1]


def test_the_tables_are_made_at_the_start_and_a_database_that_is_away_only_gives_a_warning(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = start(
        SqlConnection(name="reports", dburi=f"sqlite:///{tmp_path}/reports.sqlite"),
        SqlConnection(name="away", dburi=f"sqlite:///{tmp_path}/no/folder.sqlite"),
    )
    died: list[BaseException] = []
    crew = Crew(scene.stopping, died.append)
    scene.notices.start(crew)
    wait_until(lambda: caplog.messages, what="a warning")
    wait_until(lambda: (tmp_path / "reports.sqlite").exists(), what="a database")
    scene.stopping.set()
    scene.notices.stop()
    crew.join()
    assert died == []
    engine = sa.create_engine(f"sqlite:///{tmp_path}/reports.sqlite", poolclass=sa.NullPool)
    assert "zuul_buildset" in sa.inspect(engine).get_table_names()
    assert [message.partition(":")[0] for message in caplog.messages] == ["away"]


def test_a_url_that_cannot_be_used_stops_the_start(start: Start) -> None:
    with pytest.raises(ConfigurationError, match="dburi"):
        start(SqlConnection(name="reports", dburi="oracle://db"))
