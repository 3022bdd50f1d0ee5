"""A private PostgreSQL cluster: its own folder, reachable by a Unix socket in it only, gone afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

SECONDS = 60


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, of the newest version here; None: PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(on_path).parent if on_path else None


class Cluster:
    """A running server. Each test makes its own database in it."""

    def __init__(self, folder: Path, bin: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.bin = bin
        # PostgreSQL refuses to run as root
        self.prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def create(self) -> None:
        self.folder.chmod(0o700)
        if self.prefix:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        settings = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=50"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-t", str(SECONDS), "-l", log, "-o", settings, "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is what a crash is like for the clients."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-t", str(SECONDS), "-m", mode, "stop")

    def uri(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def new_database(self) -> str:
        """Make an empty database; its URI."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.uri("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.uri(name)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self.prefix, str(self.bin / program), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
            timeout=2 * SECONDS,
        )


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running cluster, stopped and deleted at the end."""
    bin = programs()
    assert bin is not None, "PostgreSQL is not installed"
    folder = Path(tempfile.mkdtemp(prefix="zl-pg-", dir="/tmp"))  # short: a socket's path has 107 bytes at most
    server = Cluster(folder, bin)
    try:
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
