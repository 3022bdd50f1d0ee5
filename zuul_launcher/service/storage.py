"""Open the database and become the one who may write: wait for it, migrate it, hold its lease."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO
from uuid import uuid4

import msgspec
from sqlalchemy import Engine, make_url

from zuul_launcher.db import engine as database
from zuul_launcher.db import journal, lease, migrate
from zuul_launcher.errors import ConfigurationError, RemoteUnavailable
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import State
from zuul_launcher.service.loop import DATABASE_DELAYS

LEASE_SECONDS = 15.0

log = logging.getLogger("zuul_launcher.storage")


@dataclass
class Storage:
    engine: Engine
    token: int
    previous: float | None  # when an earlier scheduler last renewed its lease, epoch seconds
    lock: IO[bytes] | None  # SQLite: kept open, so that no second process begins

    def close(self, now: float) -> None:
        """Give up the lease, so that the next one need not wait."""
        try:
            lease.release(self.engine, self.token, now)
        except (RemoteUnavailable, lease.Fenced) as error:
            log.warning("the lease could not be released: %s", error)
        self.engine.dispose()
        if self.lock is not None:
            self.lock.close()


def open_storage(
    dburi: str, clock: Callable[[], float], stopping: threading.Event, lease_seconds: float = LEASE_SECONDS
) -> Storage | None:
    """Wait until the database is there and the lease is ours; None: told to stop meanwhile.

    ConfigurationError: a bad URL, a database of a newer release, or (SQLite) another scheduler on this file.
    """
    lock = _lock(dburi)
    engine = _patiently(lambda: database.connect(dburi), stopping)
    if engine is None:
        return None
    _patiently(lambda: migrate.create(engine), stopping)
    previous = lease.last_renewal(engine)
    said = False
    while not stopping.is_set():
        token = lease.acquire(engine, _holder(), clock(), lease_seconds, others_dead=lock is not None)
        if token is not None:
            migrate.upgrade(engine)
            return Storage(engine, token, previous, lock)
        if not said:
            log.info("another scheduler is active: standing by")
        said = True
        stopping.wait(lease_seconds / 5)
    engine.dispose()
    return None


def prepare(storage: Storage, layout: Layout, layout_hash: str, now: float) -> None:
    """Have the layout stored, and a state to begin with."""
    journal.put_layout(storage.engine, storage.token, layout_hash, msgspec.json.encode(layout), now)
    if journal.load(storage.engine).snapshot is None:
        state = State(epoch=uuid4().hex)
        snapshot = journal.Snapshot(sequence=0, at=now, layout="", state=msgspec.json.encode(state))
        journal.put_snapshot(storage.engine, storage.token, snapshot)


def _lock(dburi: str) -> IO[bytes] | None:
    """With SQLite there is one host, and its file says whether another scheduler lives."""
    try:
        url = make_url(dburi)
    except Exception:
        return None  # `connect` says what is wrong with it
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    try:
        lock = lease.alone(url.database + ".lock")
    except OSError as error:
        raise ConfigurationError(
            f"[database] dburi: {url.database}: {error.strerror}: make the folder, or correct [zuul] state_dir"
        ) from error
    if lock is None:
        raise ConfigurationError(
            f"another scheduler uses {url.database}: stop it first (standby schedulers need PostgreSQL)"
        )
    return lock


def _holder() -> str:
    return f"{socket.getfqdn()} pid {os.getpid()}"


def _patiently(call: Callable[[], Engine | None], stopping: threading.Event) -> Engine | None:
    tries = 0
    while not stopping.is_set():
        try:
            return call()
        except RemoteUnavailable as error:
            if tries == 0:
                log.warning("%s: waiting for it", error)
            stopping.wait(DATABASE_DELAYS[min(tries, len(DATABASE_DELAYS) - 1)])
            tries += 1
    return None
