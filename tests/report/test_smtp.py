"""Mails, over a real conversation with a mail server on loopback."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from support.mail_server import MailServer
from support.waiting import free_port

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.report.smtp import Mail, Mailer, message_id

HEADERS = {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted"}
TEXT = "Build failed.\n\n- http://logs.example.net/1 : FAILURE in 0s\n\nFor more, see the wiki."
MAIL = Mail(
    id=message_id("item", "1", "failure", "mail"),
    sender="zuul@example.net",
    recipients="ann@example.net, bob@example.net",
    subject="Report for change 1,2",
    text=TEXT,
    at=1_500_000_000.25,
)


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as found:
        yield found


def send(server: MailServer, mail: Mail = MAIL, seconds: float = 60) -> None:
    Mailer("127.0.0.1", server.port, seconds=seconds).send(mail)


def test_a_mail_has_the_text_and_the_headers_that_it_was_given(server: MailServer) -> None:
    send(server)
    (taken,) = server.mails
    assert taken.sender == "zuul@example.net"
    assert taken.recipients == ["ann@example.net", "bob@example.net"]
    message = taken.message
    assert message["Subject"] == "Report for change 1,2"
    assert message["From"] == "zuul@example.net"
    assert message["To"] == "ann@example.net, bob@example.net"
    assert message["Date"].datetime == datetime(2017, 7, 14, 2, 40, tzinfo=UTC)
    assert message["Message-ID"] == MAIL.id
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == TEXT + "\n"
    assert TEXT.replace("\n", "\r\n").encode() in taken.content  # readable as it is, for simple readers


def test_the_default_addresses_of_v2_work(server: MailServer) -> None:
    send(server, replace(MAIL, sender="zuul", recipients="zuul"))
    (taken,) = server.mails
    assert (taken.sender, taken.recipients) == ("zuul", ["zuul"])


def test_names_in_addresses_are_for_people_and_not_for_the_server(server: MailServer) -> None:
    send(server, replace(MAIL, sender='"Zuul, the gate" <zuul@example.net>', recipients='"Bob B." <bob@example.net>'))
    send(server, replace(MAIL, recipients="Jürgen <j@example.net>"))
    first, second = server.mails
    assert (first.sender, first.recipients) == ("zuul@example.net", ["bob@example.net"])
    assert second.recipients == ["j@example.net"]
    assert second.message["To"] == "Jürgen <j@example.net>"


def test_any_text_arrives_as_it_was_written(server: MailServer) -> None:
    text = "Grüße 😀\n.\n..\nFrom here\n" + "x" * 5000 + "\n\ttabs \n"
    send(server, replace(MAIL, text=text))
    assert server.mails[0].message.get_content() == text


@pytest.mark.parametrize("value", ["x\nBcc: eve@example.net", "x\r\n\r\nbody", "x\r.\r\nMAIL FROM:<eve>", "x\u2028y\0"])
def test_no_value_becomes_a_header_or_a_command(server: MailServer, value: str) -> None:
    for mail in (replace(MAIL, subject=value), replace(MAIL, sender=value), replace(MAIL, recipients=value)):
        try:
            send(server, mail)
        except RemoteRefused:
            continue  # no address any more
        taken = server.mails[-1]
        assert {key for key in taken.message if not key.startswith(("Content-", "MIME-"))} == HEADERS
        assert "eve@example.net" not in taken.recipients
        assert taken.message.get_content() == TEXT + "\n"
    assert "MAIL FROM:<eve>" not in server.commands


@pytest.mark.parametrize("recipients", ["", " , ", "<>", "some: ann@example.net;", "jürgen@example.net"])
def test_a_mail_without_a_usable_recipient_is_refused_before_anything_is_said(
    server: MailServer, recipients: str
) -> None:
    with pytest.raises(RemoteRefused, match="address"):
        send(server, replace(MAIL, recipients=recipients))
    assert server.commands == []


def test_the_message_id_depends_on_every_part_and_on_nothing_else() -> None:
    parts = ("item", "1", "failure", "mail")
    others = [("item", "2", "failure", "mail"), ("item", "1", "success", "mail"), ("item1", "", "failure", "mail")]
    assert message_id(*parts) == message_id(*parts)
    assert len({message_id(*parts), *(message_id(*other) for other in others)}) == 4


@pytest.mark.parametrize(
    "answers",
    [
        {"connect": "421 too busy"},
        {"connect": "554 go away"},  # who knows: it may be the wrong machine for a while
        {"MAIL": "451 later"},
        {"RCPT": "450 greylisted"},
        {"DATA": "451 later"},
        {".": "452 full"},
        {"<ann@example.net>": "450 later", "<bob@example.net>": "550 never"},
    ],
)
def test_what_may_get_better_is_worth_another_try(server: MailServer, answers: dict[str, str]) -> None:
    server.behaviour.answers = answers
    with pytest.raises(RemoteUnavailable, match=r"mail server 127\.0\.0\.1"):
        send(server)
    assert server.mails == []


@pytest.mark.parametrize("answers", [{"MAIL": "550 no"}, {"RCPT": "550 no"}, {"DATA": "554 no"}, {".": "554 spam"}])
def test_a_final_no_is_told_as_such(server: MailServer, answers: dict[str, str]) -> None:
    server.behaviour.answers = answers
    with pytest.raises(RemoteRefused, match=r"55. (no|spam)"):
        send(server)


def test_a_refused_recipient_does_not_keep_the_mail_from_others(
    server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.behaviour.answers = {"<ann@example.net>": "550 who?\x1b[2J"}
    send(server)
    assert server.mails[0].recipients == ["bob@example.net"]
    (warning,) = caplog.messages
    assert "ann@example.net: 550 who? [2J" in warning


@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA"])
def test_a_server_that_hangs_up_is_worth_another_try(server: MailServer, command: str) -> None:
    server.behaviour.hangs_up_after = command
    with pytest.raises(RemoteUnavailable):
        send(server)


def test_how_the_conversation_ends_after_the_mail_was_taken_does_not_matter(server: MailServer) -> None:
    server.behaviour.hangs_up_after = "."
    send(server)
    server.behaviour.hangs_up_after = None
    server.behaviour.answers = {"QUIT": "500 what?"}
    send(server)
    assert len(server.mails) == 2


def test_a_server_that_speaks_without_end_is_left_at_the_deadline(server: MailServer) -> None:
    server.behaviour.drips = True
    with pytest.raises(RemoteUnavailable):
        send(server, seconds=0.5)


def test_a_server_that_is_away_is_worth_another_try() -> None:
    with pytest.raises(RemoteUnavailable, match=r"mail server 127\.0\.0\.1"):
        Mailer("127.0.0.1", free_port()).send(MAIL)
