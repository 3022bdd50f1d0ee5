"""A manager that begins builds until it is killed: `build_beginner.py DBURI`. It tells each number when it has it."""

import sys

from support.build_records import starting

from zuul_launcher.db.engine import connect
from zuul_launcher.worker.history.history import SqlHistory

history = SqlHistory(connect(sys.argv[1]))
while True:
    print(history.begin(starting()).number, flush=True)
