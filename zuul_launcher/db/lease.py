"""One row says which process may write. Its token goes up with each holder, and every write of ours checks it.

A paused holder that wakes after another has taken over finds another token, and is refused. PostgreSQL: the check
locks the row until the end of the transaction, and a take-over waits for it. SQLite has one writer at a time anyway.
"""

import fcntl
from typing import IO

from sqlalchemy import Connection, Engine, select, update

from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.db.tables import lease
from zuul_launcher.errors import RemoteError

CURRENT = select(lease.c.token).with_for_update(read=True)


class Fenced(RemoteError):
    """Another process holds the lease: this one may not write any more, and must stop."""


def alone(path: str) -> IO[bytes] | None:
    """Lock a file until it is closed or this process ends; None: another process on this host has it.

    Whoever has the lock of a SQLite database knows that no other holder of its lease is alive.
    """
    file = open(path, "ab")  # noqa: SIM115, PTH123  (it stays open: the lock goes with it)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def acquire(engine: Engine, holder: str, now: float, duration: float, *, others_dead: bool = False) -> int | None:
    """Take the lease if it is free or has lapsed (or `others_dead`: see `alone`). The token, or None: it is held."""
    with transaction(engine) as connection:
        held = connection.execute(select(lease).with_for_update()).one()
        if held.expires_at > now and not others_dead:
            return None
        token = int(held.token) + 1
        values = {"token": token, "holder": holder, "renewed_at": now, "expires_at": now + duration}
        connection.execute(update(lease).values(**values))
        return token


def last_renewal(engine: Engine) -> float | None:
    """When a holder last said that it lives, in its own epoch seconds; None: there never was one."""
    with reading(engine) as connection:
        held = connection.execute(select(lease)).one()
    return float(held.renewed_at) if held.token else None


def renew(engine: Engine, token: int, now: float, duration: float) -> None:
    """Hold on to the lease until `now + duration`. Fenced: it is somebody else's by now."""
    with transaction(engine) as connection:
        _set(connection, token, now, now + duration)


def release(engine: Engine, token: int, now: float) -> None:
    """Give the lease back: the next one need not wait. Fenced: it is somebody else's by now."""
    with transaction(engine) as connection:
        _set(connection, token, now, now)


def check(connection: Connection, token: int) -> None:
    """Stop this transaction with Fenced if the lease is somebody else's; keep it ours until the transaction ends."""
    if connection.execute(CURRENT).scalar() != token:
        raise _fenced(token)


def _set(connection: Connection, token: int, now: float, expires_at: float) -> None:
    changes = {"renewed_at": now, "expires_at": expires_at}
    if connection.execute(update(lease).where(lease.c.token == token).values(**changes)).rowcount == 0:
        raise _fenced(token)


def _fenced(token: int) -> Fenced:
    return Fenced(f"another process holds the lease (ours was number {token}): this one writes nothing any more")
