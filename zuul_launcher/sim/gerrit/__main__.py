"""Runs the stand-in as a process until it gets SIGTERM or SIGINT.

Prints one JSON line when it is ready: {"host", "port", "known_hosts_line", "keys": {username: file}}. People act over
SSH: `git push` to refs/for/BRANCH, `gerrit review`, `gerrit create-project --empty-commit NAME`. What it knows of
changes ends with it; keys and repositories stay in the directory.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from zuul_launcher.sim.gerrit.site import PEOPLE
from zuul_launcher.sim.gerrit.stand_in import SimGerrit


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m zuul_launcher.sim.gerrit",
        description="A stand-in Gerrit, to try a site on. CONTRIBUTING.rst tells how.",
    )
    parser.add_argument("--dir", type=Path, required=True, help="where keys and repositories are kept")
    parser.add_argument("--port", type=int, default=0, help="of SSH; 0 takes a free one")
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # before threads inherit the mask
    with SimGerrit(arguments.dir.absolute(), port=arguments.port) as site:
        ready = {
            "host": site.host,
            "port": site.port,
            "known_hosts_line": site.known_hosts_line(),
            "keys": {username: str(site.key_file(username)) for username in PEOPLE},
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
