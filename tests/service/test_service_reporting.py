"""The desk for reports to Gerrit."""

import pytest
from support.states import make_change

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.gerrit.hostkeys import HostKeyUnknown
from zuul_launcher.gerrit.report import Reporter as GerritReporter
from zuul_launcher.gerrit.ssh import Finished
from zuul_launcher.model.layout import Reporter
from zuul_launcher.service.inbox import Inbox
from zuul_launcher.service.outlet import Delivery
from zuul_launcher.service.payload import ReportPayload
from zuul_launcher.service.reporting import ReportDesk


def delivery() -> Delivery:
    payload = ReportPayload(
        item="1",
        attempt=1,
        verdict="failure",
        subject=make_change(),
        message="Build failed.",
        reporters=(Reporter(connection="gerrit", options={}),),
        submit=False,
    )
    return Delivery(row=7, payload=payload, first=True, since=0.0)


def desk(run: object, inbox: Inbox) -> ReportDesk:
    return ReportDesk({"gerrit": GerritReporter(run, username="zuul", wait=lambda _: None)}, inbox, lambda: 1.0)


def test_a_report_waits_while_gerrits_host_key_is_not_known() -> None:
    def refuse(command: str) -> Finished:
        raise HostKeyUnknown("add this line to known_hosts: ...")

    with pytest.raises(RemoteUnavailable, match="add this line"):
        desk(refuse, Inbox()).perform(delivery())


def test_what_gerrit_complains_of_comes_with_the_answer_that_finishes_the_row() -> None:
    inbox = Inbox()
    desk(lambda command: Finished(b"", "fatal: no such change", 1), inbox).perform(delivery())
    envelope = inbox.take(1)
    assert envelope is not None
    assert [row.id for row in envelope.finished] == [7]
    assert "no such change" in envelope.event.errors[0]
