"""A private MariaDB server: its own folder, reachable by a Unix socket in it only, gone afterwards."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
from support.waiting import wait_until

FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS = 120


def programs() -> tuple[str, str] | None:
    """The server, and what makes its folder; None: they are not installed."""
    server, install = (shutil.which(name, path=FOLDERS) for name in ("mariadbd", "mariadb-install-db"))
    return (server, install) if server and install else None


class Server:
    """A running server. Each test makes its own database in it."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "socket"

    def new_database(self) -> str:
        """Make an empty database; its URI."""
        name = f"test_{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql://root@localhost/{name}?unix_socket={self.socket}"

    def run(self, statement: str) -> None:
        with pymysql.connect(unix_socket=str(self.socket), user="root") as connection:
            connection.cursor().execute(statement)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:  # pymysql leaves one open if it cannot connect
            if probe.connect_ex(str(self.socket)) != 0:
                return False
        try:
            self.run("SELECT 1")
        except pymysql.Error:
            return False
        return True


@contextmanager
def running() -> Iterator[Server]:
    """A server, stopped and deleted at the end."""
    found = programs()
    assert found is not None, "MariaDB is not installed"
    server, install = found
    folder = Path(tempfile.mkdtemp(prefix="zl-my-", dir="/tmp"))  # short: a socket's path has 107 bytes at most
    user = ["--user=root"] if os.geteuid() == 0 else []
    places = ["--no-defaults", f"--datadir={folder}/data", *user]
    try:
        subprocess.run(
            [install, *places, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
        )
        options = [f"--socket={folder}/socket", f"--pid-file={folder}/pid", "--skip-networking"]
        fast = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--sync-binlog=0"]
        process = subprocess.Popen(
            [server, *places, *options, *fast], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            started = Server(folder)
            wait_until(started.answers, SECONDS, "MariaDB")
            yield started
        finally:
            process.terminate()
            process.wait(SECONDS)
    finally:
        shutil.rmtree(folder)
