"""The desk for reports to Gerrit: a verdict goes to each reporter there, in order, and their answer to the loop.

Mails and rows have desks of their own (`notices`).
"""

import logging
from collections.abc import Callable, Mapping

from zuul_launcher.db.outbox import Finished
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.gerrit.hostkeys import ConnectionRefused
from zuul_launcher.gerrit.report import Reporter as GerritReporter
from zuul_launcher.gerrit.report import ReviewOutcome
from zuul_launcher.model.change import Change
from zuul_launcher.model.events import Reported
from zuul_launcher.model.layout import Reporter
from zuul_launcher.service.inbox import Envelope, Inbox
from zuul_launcher.service.outlet import Delivered, Delivery
from zuul_launcher.service.payload import ReportPayload

log = logging.getLogger("zuul_launcher.report")


class ReportDesk:
    """Used by one thread. `gerrits`: whom to tell, by connection."""

    def __init__(self, gerrits: Mapping[str, GerritReporter], inbox: Inbox, clock: Callable[[], float]) -> None:
        self._gerrits = gerrits
        self._inbox = inbox
        self._clock = clock

    def perform(self, delivery: Delivery) -> Delivered:
        payload = delivery.payload
        assert isinstance(payload, ReportPayload)
        merged = payload.submit and not isinstance(payload.subject, Change)
        errors: list[str] = []
        for reporter in payload.reporters:
            outcome = self._tell(reporter, payload, None if delivery.first else delivery.since)
            merged = merged or outcome.merged
            errors += [f"{reporter.connection}: {error}" for error in outcome.errors]
        for error in errors:
            log.warning("report %s of %s: %s", payload.verdict, payload.subject.id, error)
        event = Reported(
            at=self._clock(),
            item=payload.item,
            attempt=payload.attempt,
            verdict=payload.verdict,
            merged=merged,
            errors=tuple(errors),
        )
        self._inbox.put(Envelope(event, finished=(Finished(id=delivery.row),)))
        return Delivered.ANSWER_FOLLOWS

    def _tell(self, reporter: Reporter, payload: ReportPayload, since: float | None) -> ReviewOutcome:
        subject = payload.subject
        gerrit = self._gerrits.get(reporter.connection)
        if gerrit is None:
            return ReviewOutcome(errors=("there is no Gerrit connection of this name",))
        if not isinstance(subject, Change):
            return ReviewOutcome()  # there is nothing in Gerrit to comment on
        labels = [vote.label for vote in subject.approvals]
        labels += [label for record in subject.submit_records for label in record.labels]
        try:
            return gerrit.review(
                subject.project, subject.id, payload.message, reporter.options, labels=labels, since=since
            )
        except ConnectionRefused as error:  # nothing was said yet; somebody has to mend a key, then it goes on
            raise RemoteUnavailable(str(error)) from error
