"""Reports that nobody waits for: mails, and rows in databases. Each connection has its own outlet and thread, so that
one that is away holds up nothing but its own.

A notice is tried for a day from the verdict on, then it is given up with a line in the log.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial

from msgspec.structs import replace

from zuul_launcher.db.migrate import upgrade_reporter
from zuul_launcher.errors import RemoteError, RemoteRefused, RemoteUnavailable
from zuul_launcher.report.smtp import Mailer
from zuul_launcher.report.sql import Recorder
from zuul_launcher.service.inbox import Inbox
from zuul_launcher.service.outlet import Delivered, Delivery, GivenUp, Outlet
from zuul_launcher.service.payload import MailPayload, RecordPayload, mail_target, sql_target
from zuul_launcher.service.storage import Storage
from zuul_launcher.service.threads import Crew
from zuul_launcher.settings import Connection, SmtpConnection, SqlConnection

PATIENCE = 24 * 3600.0  # seconds

log = logging.getLogger("zuul_launcher.report")


class MailDesk:
    """Sends the mails of one connection."""

    def __init__(self, settings: SmtpConnection, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._mailer = Mailer(settings.server, settings.port)
        self._clock = clock

    def perform(self, delivery: Delivery) -> Delivered:
        payload = delivery.payload
        assert isinstance(payload, MailPayload)
        mail = replace(
            payload.mail,
            sender=payload.mail.sender or self._settings.default_from,
            recipients=payload.mail.recipients or self._settings.default_to,
        )
        return _patiently(lambda: self._mailer.send(mail), mail.at, self._clock)


class RecordDesk:
    """Writes the rows of one connection."""

    def __init__(self, settings: SqlConnection, clock: Callable[[], float]) -> None:
        """ConfigurationError: the database URL cannot be used."""
        self._name = settings.name
        self._recorder = Recorder(settings.dburi, upgrade_reporter)
        self._clock = clock

    def begin(self) -> None:
        """Make the tables, as v2 does at its start; if the database is away, with the first report."""
        try:
            self._recorder.prepare()
        except RemoteError as error:
            log.warning("%s: no reports yet: %s", self._name, error)

    def perform(self, delivery: Delivery) -> Delivered:
        payload = delivery.payload
        assert isinstance(payload, RecordPayload)
        write = self._recorder.write
        return _patiently(lambda: write(payload.record, again=not delivery.first), payload.at, self._clock)


def _patiently(tell: Callable[[], None], at: float, clock: Callable[[], float]) -> Delivered:
    """RemoteUnavailable: try again later. GivenUp: never."""
    try:
        tell()
    except RemoteUnavailable as error:
        if clock() - at < PATIENCE:
            raise
        raise GivenUp(f"tried for {PATIENCE / 3600:g} hours: {error}") from error
    except RemoteRefused as error:
        raise GivenUp(str(error)) from error
    return Delivered.DONE


class Notices:
    """Call `start` once; `stop` after `stopping` is set."""

    def __init__(
        self,
        connections: Iterable[Connection],
        storage: Storage,
        inbox: Inbox,
        clock: Callable[[], float],
        stopping: threading.Event,
    ) -> None:
        """ConfigurationError: the URL of a database cannot be used."""
        self.outlets: list[Outlet] = []
        self._begin: dict[str, Callable[[], None]] = {}  # outlet -> what is done in its thread first
        self._inbox = inbox
        self._stopping = stopping
        for one in connections:
            if isinstance(one, SmtpConnection):
                self._add(storage, mail_target(one.name), clock).perform = MailDesk(one, clock).perform
            elif isinstance(one, SqlConnection):
                desk = RecordDesk(one, clock)
                self._add(storage, sql_target(one.name), clock).perform = desk.perform
                self._begin[sql_target(one.name)] = desk.begin

    def _add(self, storage: Storage, target: str, clock: Callable[[], float]) -> Outlet:
        outlet = Outlet(storage.engine, storage.token, target, clock, self._inbox)
        self.outlets.append(outlet)
        return outlet

    def start(self, crew: Crew) -> None:
        for outlet in self.outlets:
            crew.start(outlet.target, partial(self._run, outlet))

    def stop(self) -> None:
        for outlet in self.outlets:
            outlet.awake.set()

    def _run(self, outlet: Outlet) -> None:
        begin = self._begin.get(outlet.target)
        if begin is not None:
            begin()
        outlet.run(self._stopping)
