"""What a Gerrit's clients do in tests: OpenSSH's `ssh` and `git`, so that no code of ours answers itself."""

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zuul_launcher.sim.gerrit.site import GerritSite

DEADLINE = 60.0
Row = dict[str, Any]


class GerritClient:
    """Runs commands on a site; `directory` takes what ssh and git need."""

    def __init__(self, site: GerritSite, directory: Path) -> None:
        self.site = site
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text(site.known_hosts_line() + "\n")

    def ssh(self, username: str) -> list[str]:
        options = [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            f"IdentityFile={self.site.key_file(username)}",
            f"UserKnownHostsFile={self.known_hosts}",
        ]
        return ["ssh", "-F", os.devnull, *(part for option in options for part in ("-o", option))]

    def run(self, command: str, username: str = "zuul") -> "subprocess.CompletedProcess[str]":
        """Runs a command on the server, its line taken as it is."""
        target = ["-p", str(self.site.port), f"{username}@{self.site.host}"]
        return subprocess.run(
            [*self.ssh(username), *target, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def review(self, project: str, target: str, *options: str, username: str = "zuul") -> str:
        """Reviews and returns "" or what Gerrit says against it; exit status and stderr agree."""
        finished = self.run(" ".join(["gerrit review --project", project, *options, target]), username)
        assert (finished.returncode == 0) == (finished.stderr == ""), finished
        return finished.stderr.strip()

    def query(self, text: str) -> list[Row]:
        """The rows of an answer, the statistics last."""
        finished = self.run(f"gerrit query --format json {text}")
        assert finished.returncode == 0, finished
        return [json.loads(line) for line in finished.stdout.splitlines()]

    def git(self, directory: Path, *arguments: str, username: str = "ann") -> "subprocess.CompletedProcess[str]":
        environment = {
            "GIT_SSH_COMMAND": " ".join(self.ssh(username)),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{role}_NAME": username for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": f"{username}@example.com" for role in ("AUTHOR", "COMMITTER")},
        }
        return subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def url(self, project: str, username: str = "ann") -> str:
        return f"ssh://{username}@{self.site.host}:{self.site.port}/{project}"

    @contextmanager
    def watch(self, project: str) -> Iterator["Watcher"]:
        """Watches the events of a project. No answer says that Gerrit sends: branches are made until one is told of."""
        target = ["-p", str(self.site.port), f"zuul@{self.site.host}"]
        with subprocess.Popen(
            [*self.ssh("zuul"), *target, "gerrit stream-events"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            watcher = Watcher(process, project)
            try:
                for attempt in range(60):
                    self.site.create_branch(project, f"watch-{attempt}")
                    if watcher.next_within(1.0) is not None:
                        break
                yield watcher
            finally:
                process.terminate()
                watcher.join()


class Watcher:
    """Events of one project as they come; those on the refs in which Gerrit keeps its own data are left out."""

    def __init__(self, process: "subprocess.Popen[bytes]", project: str) -> None:
        self._process = process
        self._project = project
        self._events: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            project = event.get("project") or event.get("refUpdate", {}).get("project")
            ref = event.get("refUpdate", {}).get("refName", "")
            if project == self._project and not ref.endswith("/meta"):
                self._events.put(event)
        self._events.put(None)

    def next_within(self, seconds: float) -> Row | None:
        """The next event; None if there is none in time or the stream has ended."""
        try:
            return self._events.get(timeout=seconds)
        except queue.Empty:
            return None

    def until(self, wanted: Callable[[Row], bool]) -> list[Row]:
        """All events up to the first that is wanted, it included."""
        seen: list[Row] = []
        deadline = time.monotonic() + DEADLINE
        while event := self.next_within(max(0.0, deadline - time.monotonic())):
            seen.append(event)
            if wanted(event):
                return seen
        raise AssertionError(f"not seen; but {[one['type'] for one in seen]}")

    def until_type(self, kind: str) -> Row:
        return self.until(lambda event: event["type"] == kind)[-1]

    def has_ended(self) -> bool:
        """Waits for the end of the stream."""
        while self.next_within(DEADLINE) is not None:
            pass
        return self._process.wait(DEADLINE) is not None

    def join(self) -> None:
        self._reader.join(DEADLINE)


def quoted(text: str) -> str:
    """One word for Gerrit's command line. It must not be empty, nor start with `--` and have a `=`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
