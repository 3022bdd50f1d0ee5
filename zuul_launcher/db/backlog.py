"""How much waits in the database: for the metrics."""

from msgspec import Struct
from sqlalchemy import Engine, func, select

from zuul_launcher.db.engine import reading
from zuul_launcher.db.tables import outbox, parked, received


class Backlog(Struct, frozen=True, kw_only=True):
    pending: dict[str, int]  # target -> actions that are to be done
    oldest_received: float | None  # when the oldest event came that was not worked on, epoch seconds
    parked: int  # events that were put aside


def backlog(engine: Engine) -> Backlog:
    """One consistent picture. RemoteUnavailable: the database is away."""
    todo = select(outbox.c.target, func.count()).where(outbox.c.status == "todo").group_by(outbox.c.target)
    with reading(engine) as connection:
        return Backlog(
            pending=dict(connection.execute(todo).tuples().all()),
            oldest_received=connection.execute(select(func.min(received.c.at))).scalar(),
            parked=connection.execute(select(func.count()).select_from(parked)).scalar_one(),
        )
