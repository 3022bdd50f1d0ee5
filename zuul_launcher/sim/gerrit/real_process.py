"""Runs a real Gerrit from the artifacts that tools/gerrit/fetch.sh downloads, with the people of `site.PEOPLE`.

    with RealGerritProcess(directory, artifacts) as site:
        site.create_project("org/project")

Ready in about 20 seconds; takes half a GiB of memory.
"""

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.sim.gerrit.git import git
from zuul_launcher.sim.gerrit.real import RealGerrit

START = 240.0  # seconds for one step of the start; a busy machine is slow
STOP = 30.0
# What a short life asks of Java: start fast, stay small.
JAVA = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# Without a file for its log, this way to start Gerrit logs every packet.
LOG = """\
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] [%t] %-5p %c %x: %m%n
"""


class RealGerritProcess:
    """One Gerrit server; `directory` is created and must be new, `artifacts` holds `lib` and `classes`."""

    def __init__(self, directory: Path, artifacts: Path) -> None:
        self._directory = directory
        self._site = directory / "site"
        self._java = [*JAVA, "-cp", f"{artifacts / 'classes'}:{artifacts / 'lib'}/*", "RunGerrit"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RealGerrit:
        """Initialises the site, starts the server and waits until it is ready. Raises RemoteUnavailable."""
        self._directory.mkdir(parents=True)
        self._initialise()
        ssh_port, http_port = free_ports(2)
        base_url = f"http://127.0.0.1:{http_port}/"
        for name, value in (
            ("sshd.listenAddress", f"127.0.0.1:{ssh_port}"),
            ("httpd.listenUrl", base_url),
            ("gerrit.canonicalWebUrl", base_url),
            ("sendemail.enable", "false"),
        ):
            git(self._directory, "config", "--file", str(self._site / "etc" / "gerrit.config"), name, value)
        log = self._directory / "daemon.log"
        logging = self._directory / "log4j.properties"
        logging.write_text(LOG)
        arguments = ["Daemon", "-d", str(self._site), "--console-log", "--headless", "--enable-httpd", "--enable-sshd"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [self._java[0], f"-Dlog4j.configuration={logging.as_uri()}", *self._java[1:], *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_ready(log)
        kind, key, *_ = (self._site / "etc" / "ssh_host_ed25519_key.pub").read_text().split()
        site = RealGerrit(
            directory=self._directory,
            base_url=base_url,
            host="127.0.0.1",
            port=ssh_port,
            git_dir=self._site / "git",
            host_key=f"{kind} {key}",
        )
        site.set_up()
        return site

    def _initialise(self) -> None:
        arguments = ["Init", "-d", str(self._site), "--batch", "--dev", "--no-auto-start", "--skip-plugins"]
        finished = subprocess.run([*self._java, *arguments], capture_output=True, timeout=START, check=False)
        if finished.returncode != 0:
            raise RemoteUnavailable(f"Gerrit can not be initialised: {finished.stderr.decode(errors='replace')}")

    def _wait_until_ready(self, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START
        while b") ready" not in log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RemoteUnavailable(f"Gerrit does not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends the server; what it stored stays."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> RealGerrit:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nothing listens on at this moment."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
