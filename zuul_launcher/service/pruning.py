"""Keeps the database from growing without end: old steps of the journal and, if the site wants it, old builds."""

import logging
from collections.abc import Collection

from zuul_launcher.db import history, journal
from zuul_launcher.db.journal import DAY
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.service.storage import Storage
from zuul_launcher.settings import Database

log = logging.getLogger("zuul_launcher.pruning")


def prune(storage: Storage, settings: Database, present: Collection[str], now: float) -> None:
    """`present`: ids of the items that are in a pipeline; their builds stay, however old. If the database is away, the
    next time does it."""
    engine, token = storage.engine, storage.token
    try:
        steps = journal.prune(engine, token, settings.keep_days, now)
        log.info("%d steps older than %d days were removed from the journal", steps, settings.keep_days)
        if settings.history_days > 0:
            sets = history.prune(engine, token, now - settings.history_days * DAY, present)
            log.info("%d build sets older than %d days were removed", sets, settings.history_days)
    except RemoteUnavailable as error:
        log.warning("the database could not be pruned: %s", error)
