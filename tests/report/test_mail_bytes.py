"""Behaviour 10.9: mails of a pipeline, byte for byte as a mail server gets them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from support import gate_layouts
from support.mail_server import MailServer
from support.player import Player

from zuul_launcher.model.actions import AnyAction, Report
from zuul_launcher.model.events import AnyEvent, BuildProgress, WorkerData
from zuul_launcher.model.layout import JobNode, Layout, Reporter
from zuul_launcher.service.notices import MailDesk
from zuul_launcher.service.outlet import Delivery
from zuul_launcher.service.payload import PAYLOADS, ReportPayload, World, rows
from zuul_launcher.settings import HostName, Port, SmtpConnection, Zuul

GERRIT = Reporter(connection="gerrit", options={"verified": 1})
MAIL = Reporter(connection="mail", options={"to": "ann@example.net"})
OTHER = Reporter(connection="mail", options={"to": "bob@example.net", "from": "ci@example.net", "subject": "{change}"})
FOOTER = "For more, see the wiki."
LOGS = "http://logs.example.net/{change.number}/{change.patchset}/{pipeline.name}/{job.name}/{build.number}"


@dataclass
class Mailing(Player):
    """A player whose mails go to a real server, through the desk that sends them in the service."""

    port: int = 0
    zuul: Zuul = field(default_factory=Zuul)
    to_gerrit: list[ReportPayload] = field(default_factory=list)

    def send(self, event: AnyEvent) -> list[AnyAction]:
        actions = super().send(event)
        said = [action for action in actions if isinstance(action, Report)]
        world = World(zuul=self.zuul, urls={}, parameters=lambda uuid: {}, drivers={"mail": "smtp"})
        settings = SmtpConnection(name="mail", server=HostName("127.0.0.1"), port=Port(self.port))
        desk = MailDesk(settings, clock=lambda: self.at)
        for number, row in enumerate(rows(said, self.at, self.state, self.layout, world)):
            payload = msgspec.json.decode(row.payload, type=PAYLOADS[row.kind])
            if isinstance(payload, ReportPayload):
                self.to_gerrit.append(payload)
            else:
                desk.perform(Delivery(row=number, payload=payload, first=True, since=self.at))
        return actions

    def begin_builds(self) -> None:
        """A worker has taken each; they all take no time."""
        for number, uuid in enumerate(self.world.running(), 1):
            launched = self.world.builds[uuid].payload
            said = WorkerData(number=number, manager="w1", url=f"http://ci.example.net/{number}")
            self.send(BuildProgress(at=self.at, item=launched.item, attempt=launched.attempt, build=uuid, data=said))

    def end_builds(self, result: str = "SUCCESS") -> None:
        for uuid in self.world.running():
            self.send(self.world.finish(uuid, result, self.at))
        self.settle()


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as found:
        yield found


def checking(**check: Any) -> Layout:
    """Q is checked by `one`, which votes, and `two`, which does not."""
    layout = gate_layouts.with_tree(gate_layouts.scenario_layout(), "Q", JobNode("one"), JobNode("two"))
    return gate_layouts.with_pipeline(gate_layouts.with_job(layout, "two", voting=False), "check", **check)


def bodies(server: MailServer) -> list[bytes]:
    return [mail.content.partition(b"\r\n\r\n")[2] for mail in server.mails]


def test_a_failure_has_its_footer_after_one_empty_line(server: MailServer) -> None:
    play = Mailing(checking(failure=(MAIL,), footer_message=FOOTER), port=server.port, zuul=Zuul(url_pattern=LOGS))
    play.propose(play.upload("Q"))
    play.begin_builds()
    play.end_builds("FAILURE")
    assert bodies(server) == [
        b"Build failed.\r\n"
        b"\r\n"
        b"- http://logs.example.net/1/1/check/one/1 : FAILURE in 0s\r\n"
        b"- http://logs.example.net/1/1/check/two/2 : FAILURE in 0s (non-voting)\r\n"
        b"\r\n"
        b"For more, see the wiki.\r\n"
    ]


def test_a_success_has_its_footer_after_one_empty_line(server: MailServer) -> None:
    zuul = Zuul(job_name_in_report=True)
    play = Mailing(checking(success=(GERRIT, MAIL), footer_message=FOOTER), port=server.port, zuul=zuul)
    play.propose(play.upload("Q"))
    play.begin_builds()
    play.end_builds()
    assert bodies(server) == [
        b"Build succeeded.\r\n"
        b"\r\n"
        b"- one http://ci.example.net/1 : SUCCESS in 0s\r\n"
        b"- two http://ci.example.net/2 : SUCCESS in 0s (non-voting)\r\n"
        b"\r\n"
        b"For more, see the wiki.\r\n"
    ]


def test_a_start_is_told_by_mail_alone_and_the_end_in_both_places_with_one_text(server: MailServer) -> None:
    start, end = Reporter(connection="mail", options={"to": "you@example.net"}), (GERRIT, OTHER)
    play = Mailing(checking(start=(start,), success=end), port=server.port)
    change = play.upload("Q")
    play.propose(change)
    assert [said.reporters for said in play.to_gerrit] == [()]
    assert bodies(server) == [b"Starting check jobs.\r\n"]
    (mail,) = server.mails
    assert (mail.sender, mail.recipients) == ("zuul", ["you@example.net"])
    assert mail.message["From"] == "zuul"

    play.end_builds()
    second = server.mails[1]
    assert (second.sender, second.recipients) == ("ci@example.net", ["bob@example.net"])
    assert second.message["Subject"] == change.id
    assert [said.reporters for said in play.to_gerrit] == [(), (GERRIT,)]
    assert second.message.get_content() == play.to_gerrit[1].message


def test_a_mail_is_plain_text_with_a_subject_of_its_change(server: MailServer) -> None:
    play = Mailing(checking(start=(MAIL,)), port=server.port)
    play.propose(play.upload("Q"))
    (mail,) = server.mails
    assert mail.content.replace(mail.message["Message-ID"].encode(), b"ID") == (
        b"Subject: Report for change 1,1\r\n"
        b"From: zuul\r\n"
        b"To: ann@example.net\r\n"
        b"Date: Thu, 01 Jan 1970 00:16:42 +0000\r\n"
        b"Message-ID: ID\r\n"
        b"Auto-Submitted: auto-generated\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"MIME-Version: 1.0\r\n"
        b"\r\n"
        b"Starting check jobs.\r\n"
    )


def test_a_conflict_is_mailed_where_the_layout_says_so_and_a_failed_job_is_not(server: MailServer) -> None:
    layout = checking(failure=(GERRIT,), merge_failure=(GERRIT, MAIL), merge_failure_message="It does not fit.")
    play = Mailing(layout, port=server.port, zuul=Zuul(url_pattern=LOGS))
    play.propose(play.upload("Q"))
    play.end_builds("FAILURE")
    assert server.mails == []
    assert play.to_gerrit[-1].verdict == "failure"

    play.world.conflicts.add(frozenset("23"))
    play.propose(play.upload("Q"), play.upload("Q", depends=("2",)))
    assert bodies(server) == [b"It does not fit.\r\n\r\nConflicting files:\r\n- file\r\n"]
    assert (play.to_gerrit[-1].reporters, play.to_gerrit[-1].subject.id) == ((GERRIT,), "3,1")


def test_a_conflict_without_a_text_of_the_site_is_told_in_the_words_of_v2(server: MailServer) -> None:
    play = Mailing(checking(merge_failure=(MAIL,)), port=server.port, zuul=Zuul(url_pattern=LOGS))
    play.world.conflicts.add(frozenset("12"))
    play.propose(play.upload("Q"), play.upload("Q", depends=("1",)))
    (body,) = bodies(server)
    words = (
        "Merge Failed.\n\nThis change or one of its cross-repo dependencies was unable to be automatically merged"
        " with the current state of its repository. Please rebase the change and upload a new patchset."
    )
    assert body.startswith(words.replace("\n", "\r\n").encode())
    assert b"http" not in body
    assert b"SKIPPED" not in body
