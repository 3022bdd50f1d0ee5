"""Store steps as fast as it goes, telling each number once it is stored, until killed: `journal_writer.py DBURI`."""

import sys

from zuul_launcher.db import history, journal, lease, outbox
from zuul_launcher.db.engine import connect


def main(dburi: str) -> None:
    engine = connect(dburi)
    token = lease.acquire(engine, "writer", now=0, duration=1e9, others_dead=True)
    assert token is not None
    stored = journal.load(engine)
    last = stored.snapshot.sequence if stored.snapshot else 0
    last = stored.events[-1].sequence if stored.events else last
    journal.discard(engine, token, [row.id for row in journal.all_received(engine)])
    before = [row.id for row in outbox.todo(engine)]
    while True:
        last += 1
        received = journal.receive(engine, token, "rpc", b"%d" % last, 0.0)
        before = journal.commit(engine, token, step(last, before, received))
        print(last, flush=True)


def step(sequence: int, before: list[int], received: int) -> journal.Step:
    """Closes the rows of the step before, asks for some of its own, and launches a build."""
    build = history.BuildRow(
        uuid=f"{sequence}",
        item=f"{sequence}",
        attempt=sequence,
        job="unit",
        run=1,
        tries=1,
        voting=True,
        precedence="normal",
        pipeline="check",
        project="p",
        open=True,
        launched_at=0.0,
    )
    return journal.Step(
        sequence=sequence,
        at=0.0,
        event=b"x" * 5000,
        actions_hash="",
        layout="",
        rows=[outbox.NewRow(kind="Launch", target="gearman", key="i", payload=b"y" * 1000)] * (sequence % 4),
        finished=[outbox.Finished(id=id) for id in before],
        received=[received],
        history=[build],
        snapshot=b"state %d" % sequence if sequence % 7 == 0 else None,
    )


main(sys.argv[1])
