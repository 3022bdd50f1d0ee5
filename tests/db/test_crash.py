"""kill -9 of a writing process at any moment leaves whole steps only."""

import random
import subprocess
import sys
from pathlib import Path

from sqlalchemy import Engine, text

from zuul_launcher.db import journal
from zuul_launcher.db.engine import reading

WRITER = Path(__file__).parent.parent / "support" / "journal_writer.py"
ROUNDS = 6


def test_a_killed_writer_leaves_whole_steps_only(database: Engine, dburi: str) -> None:
    last = 0
    for _ in range(ROUNDS):
        told = kill_after(dburi, random.randrange(8, 400))  # a whole line at least; pytest-randomly says the seed
        assert told, "it died before it wrote anything"
        last = whole_steps(database, at_least=max(told[-1], last + 1))


def kill_after(dburi: str, number: int) -> list[int]:
    """Let it tell some number of bytes about its commits, then kill it wherever it is. The steps it told of."""
    child = subprocess.Popen([sys.executable, str(WRITER), dburi], stdout=subprocess.PIPE, bufsize=0)
    assert child.stdout is not None
    told = b""
    while len(told) < number and (more := child.stdout.read(number - len(told))):
        told += more
    child.kill()
    told += child.stdout.read()
    child.stdout.close()
    child.wait(timeout=60)
    return [int(line) for line in told.decode().splitlines(keepends=True) if line.endswith("\n")]


def whole_steps(database: Engine, at_least: int) -> int:
    """See that everything is there of every step, and nothing of any other; the last step."""
    stored = journal.load(database)
    last = stored.events[-1].sequence if stored.events else 0
    if stored.snapshot:
        last = max(last, stored.snapshot.sequence)
        assert stored.snapshot.state == b"state %d" % stored.snapshot.sequence
        assert last < stored.snapshot.sequence + 7
    assert last >= at_least, "a step that was acknowledged is lost"
    steps = range(1, last + 1)
    assert column(database, "SELECT sequence FROM journal ORDER BY sequence") == list(steps)
    assert column(database, "SELECT sequence FROM outbox ORDER BY sequence, id") == [
        step for step in steps for _ in range(step % 4)
    ]
    done = "SELECT sequence FROM outbox WHERE status = 'done' ORDER BY sequence, id"
    assert column(database, done) == [step for step in steps[:-1] for _ in range(step % 4)]
    assert column(database, "SELECT attempt FROM build ORDER BY attempt") == list(steps)
    waiting = {int(row.payload) for row in journal.all_received(database)}
    assert waiting <= {last + 1}
    return last


def column(database: Engine, query: str) -> list[int]:
    with reading(database) as connection:
        return list(connection.execute(text(query)).scalars())
