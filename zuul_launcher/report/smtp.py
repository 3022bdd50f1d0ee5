"""Reports by mail: plain text, one connection a mail, no TLS, no login (behaviour.md §8.2).

1. Nothing from outside can become a header or a command: each header is one line, set through `email.message`.
2. The Message-ID comes from what is reported. A mail that is sent again, since nobody knows whether the server took
   it, has the same one: a double is possible, and a reader that cares can tell.
3. The whole conversation has one deadline, however slowly the server speaks.
"""

import hashlib
import logging
import smtplib
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from typing import Any

from msgspec import Struct

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.report.text import one_line

SECONDS = 60.0  # for one mail, from connecting to its acceptance
LONGEST_LINE = 998  # RFC 5322 (2.1.1); longer ones are sent encoded

Refusals = Mapping[str, tuple[int, bytes | str]]  # recipient, or nothing -> code and words

log = logging.getLogger(__name__)


class Mail(Struct, frozen=True, kw_only=True):
    """What is sent. `at`: epoch seconds of the verdict."""

    id: str  # see `message_id`
    sender: str
    recipients: str  # separated by commas
    subject: str
    text: str
    at: float


class Mailer:
    """Sends through one mail server."""

    def __init__(self, server: str, port: int, *, seconds: float = SECONDS) -> None:
        self._server = server
        self._port = port
        self._seconds = seconds

    def send(self, mail: Mail) -> None:
        """Have the server take it for at least one recipient; what it refuses for others is logged.

        RemoteUnavailable: try again later. RemoteRefused: it will not be taken, ever.
        """
        message = message_of(mail)
        sender, recipients = addresses(message["From"]), addresses(message["To"])
        if not sender or not recipients or not all(map(str.isascii, sender + recipients)):
            raise RemoteRefused(f"no mail from {mail.sender!r} to {mail.recipients!r}: an address is missing, or none")
        try:
            refused = self._converse(message, sender[0], recipients)
        except smtplib.SMTPRecipientsRefused as error:
            raise _judged(f"{self._place} takes it for nobody: {_shown(error.recipients)}", error.recipients) from error
        except (smtplib.SMTPConnectError, smtplib.SMTPHeloError) as error:  # nothing was asked of it yet
            raise RemoteUnavailable(f"{self._place} serves nobody: {one_line(str(error))}") from error
        except smtplib.SMTPResponseException as error:
            said: Refusals = {"": (error.smtp_code, error.smtp_error)}
            raise _judged(f"{self._place} said {_shown(said)}", said) from error
        except smtplib.SMTPNotSupportedError as error:
            raise RemoteRefused(f"{self._place}: {error}") from error
        except OSError as error:  # smtplib's other errors are OSErrors too: they tell of a lost connection
            raise RemoteUnavailable(f"{self._place}: {error}") from error
        if refused:
            log.warning("%s refuses some recipients of %s: %s", self._place, mail.id, _shown(refused))

    @property
    def _place(self) -> str:
        return f"mail server {self._server}:{self._port}"

    def _converse(self, message: EmailMessage, sender: str, recipients: list[str]) -> Refusals:
        """Recipients that were refused, with code and words."""
        session = _Session(self._server, self._port, timeout=self._seconds)
        try:
            return session.sendmail(sender, recipients, message.as_bytes())
        finally:
            try:
                session.quit()
            except OSError:
                session.close()  # the mail was taken, or not: how it ends changes nothing


def message_id(*parts: str) -> str:
    """The Message-ID of a report: always the same for the same parts."""
    return f"<{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:40]}@zuul-launcher>"


def message_of(mail: Mail) -> EmailMessage:
    """The mail as it is sent. RemoteRefused: an address that is none."""
    message = EmailMessage(policy=WIRE)
    try:
        message["Subject"] = one_line(mail.subject)
        message["From"] = one_line(mail.sender)
        message["To"] = one_line(mail.recipients)
        message["Date"] = datetime.fromtimestamp(int(mail.at), UTC)
        message["Message-ID"] = mail.id
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from those on holiday
    except (HeaderParseError, ValueError, IndexError) as error:
        raise RemoteRefused(f"no mail from {mail.sender!r} to {mail.recipients!r}: {error}") from error
    is_plain = mail.text.isascii() and max(map(len, mail.text.splitlines()), default=0) <= LONGEST_LINE
    message.set_content(mail.text, cte="7bit" if is_plain else "quoted-printable")
    return message


def addresses(header: Any) -> list[str]:
    """The bare addresses in a From or To header; a named group of addresses is none."""
    alone = [one for group in header.groups if group.display_name is None for one in group.addresses]
    return [one.addr_spec for one in alone if one.addr_spec not in ("", "<>")]


def _judged(text: str, said: Refusals) -> RemoteUnavailable | RemoteRefused:
    """A code of 5xx is final (RFC 5321, 4.2.1); anything else may get better."""
    return RemoteRefused(text) if all(500 <= code < 600 for code, _ in said.values()) else RemoteUnavailable(text)


def _shown(said: Refusals) -> str:
    return "; ".join(one_line(" ".join(_words(*answer))) for answer in said.items())


def _words(recipient: str, answer: tuple[int, bytes | str]) -> Iterator[str]:
    code, text = answer
    if recipient:
        yield f"{recipient}:"
    yield str(code)
    yield text.decode(errors="replace") if isinstance(text, bytes) else text


class _TimedSocket(socket.socket):
    """All that is received and sent through it, together, has one deadline."""

    deadline = float("inf")  # by time.monotonic

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        self._hurry()
        return super().recv_into(*arguments, **more)

    def sendall(self, *arguments: Any) -> None:
        self._hurry()
        super().sendall(*arguments)

    def _hurry(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        self.settimeout(left)


class _Session(smtplib.SMTP):
    """A conversation whose `timeout` is for all of it: smtplib's own is for each packet."""

    def connect(self, host: str = "", port: int = 0, source_address: object = None) -> tuple[int, bytes]:
        deadline = time.monotonic() + self.timeout
        plain = socket.create_connection((host, port), self.timeout)
        self.sock = _TimedSocket(fileno=plain.detach())
        self.sock.deadline = deadline
        self.file = None
        return self.getreply()
