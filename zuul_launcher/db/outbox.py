"""Actions on their way to the shells: stored with the step that asked for them, delivered at least once."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, Engine, Select, bindparam, func, insert, select, update

from zuul_launcher.db import lease
from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.db.tables import outbox

ADD = insert(outbox).returning(outbox.c.id, sort_by_parameter_order=True)
CLOSE = (
    update(outbox)
    .where(outbox.c.id == bindparam("row"), outbox.c.status == "todo")
    .values(status=bindparam("new_status"), error=bindparam("new_error"))
)


class NewRow(Struct, frozen=True, kw_only=True):
    """An action to be done."""

    kind: str  # of action
    target: str  # who does it: merger, gearman, gerrit:NAME
    key: str  # id of the item
    payload: bytes  # JSON, all that the target needs
    not_before: float = 0.0


class Row(Struct, frozen=True, kw_only=True):
    """An action that is still to be done."""

    id: int
    sequence: int  # the step that asked for it
    kind: str
    target: str
    key: str
    payload: bytes
    deliveries: int  # tries that were begun
    not_before: float
    first_tried_at: float | None
    error: str | None  # of the last try


class Finished(Struct, frozen=True, kw_only=True):
    """An action that needs no further try; error None: it is done."""

    id: int
    error: str | None = None


def todo(engine: Engine, target: str | None = None, now: float | None = None) -> list[Row]:
    """What is to be done, oldest first: by one target or all; by `now`, or at any time."""
    query = _todo(target)
    if now is not None:
        query = query.where(outbox.c.not_before <= now)
    with reading(engine) as connection:
        return [Row(**row._mapping) for row in connection.execute(query)]


def trying(engine: Engine, token: int, id: int, now: float) -> None:
    """Note that a try begins, before it does."""
    first = func.coalesce(outbox.c.first_tried_at, now)
    _change(engine, token, id, {"deliveries": outbox.c.deliveries + 1, "first_tried_at": first})


def postpone(engine: Engine, token: int, id: int, not_before: float, error: str) -> None:
    """Note why a try did not succeed, and when the next one is due."""
    _change(engine, token, id, {"not_before": not_before, "error": error})


def finish(engine: Engine, token: int, id: int, error: str | None = None) -> None:
    """Note that no further try is needed: it is done, or (error) will never be."""
    with transaction(engine) as connection:
        lease.check(connection, token)
        note_finished(connection, [Finished(id=id, error=error)])


def pending(engine: Engine) -> int:
    """How many actions are still to be done."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).where(outbox.c.status == "todo")).scalar_one()


def add(connection: Connection, sequence: int, rows: Sequence[NewRow]) -> list[int]:
    """Insert the actions of a step; their ids, in order."""
    if not rows:
        return []
    values = [
        {
            "sequence": sequence,
            "kind": row.kind,
            "target": row.target,
            "key": row.key,
            "payload": row.payload,
            "not_before": row.not_before,
        }
        for row in rows
    ]
    return list(connection.execute(ADD, values).scalars())


def note_finished(connection: Connection, rows: Sequence[Finished]) -> None:
    """Close rows; one that is closed already stays as it is."""
    if rows:
        values = [
            {"row": row.id, "new_status": "done" if row.error is None else "failed", "new_error": row.error}
            for row in rows
        ]
        connection.execute(CLOSE, values)


def _todo(target: str | None) -> Select[tuple[object, ...]]:
    columns = [outbox.c[name] for name in Row.__struct_fields__]
    query = select(*columns).where(outbox.c.status == "todo").order_by(outbox.c.id)
    return query if target is None else query.where(outbox.c.target == target)


def _change(engine: Engine, token: int, id: int, values: dict[str, object]) -> None:
    with transaction(engine) as connection:
        lease.check(connection, token)
        connection.execute(update(outbox).where(outbox.c.id == id, outbox.c.status == "todo").values(values))
