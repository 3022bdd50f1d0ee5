"""What the stand-in knows: projects, changes, who listens. One lock guards it, for SSH gives every command a thread.

Whoever reads or changes the state holds `lock` from the first look to the last event: so everybody sees the events in
the order in which things happened.
"""

import json
import queue
import threading
import time
from pathlib import Path

from zuul_launcher.sim.gerrit import events
from zuul_launcher.sim.gerrit.dialect import Dialect
from zuul_launcher.sim.gerrit.git import ZEROS, git
from zuul_launcher.sim.gerrit.model import Account, Change, Message, PatchSet, Refused, people
from zuul_launcher.sim.gerrit.records import Json, Recorder

EventLines = queue.SimpleQueue[str | None]  # None ends a stream


class State:
    def __init__(self, *, git_dir: Path, base_url: str, dialect: Dialect) -> None:
        self.lock = threading.RLock()
        self.git_dir = git_dir
        self.base_url = base_url
        self.recorder = Recorder(base_url, dialect)
        self.people = people()
        self.changes: dict[int, Change] = {}
        self.listeners: list[EventLines] = []
        self.refused_submits: set[int] = set()  # changes whose submit fails as on a conflict
        self._touched = 0

    def now(self) -> int:
        return int(time.time())

    def repository(self, project: str) -> Path:
        """Raises Refused if there is no such project. The name is data: it never leaves `git_dir`."""
        name = project.strip("/").removesuffix(".git")
        path = self.git_dir / f"{name}.git"
        if not name or ".." in path.parts or not path.is_dir():
            raise Refused(f"project {name} not found")
        return path

    def projects(self) -> list[str]:
        found = (path.relative_to(self.git_dir) for path in self.git_dir.rglob("*.git"))
        return sorted(str(path).removesuffix(".git") for path in found)

    def head(self, project: str, branch: str) -> str:
        """The commit of a branch, or "" if there is no such branch."""
        return git(self.repository(project), "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def change(self, number: int) -> Change:
        if number not in self.changes:
            raise Refused(f'"{number}" no such change')
        return self.changes[number]

    def emit(self, event: Json) -> None:
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        for listener in self.listeners:
            listener.put(line)

    def add_message(self, change: Change, who: Account, text: str) -> None:
        """Every update of a change leaves a message, and Gerrit tells of the ref that it writes."""
        now = self.now()
        self._touched += 1
        change.messages.append(Message(who, now, text))
        change.updated, change.touched = now, self._touched
        self.emit(events.meta_updated(self.recorder, change, who, now))

    def move_branch(self, project: str, ref: str, new: str, who: Account) -> None:
        """Sets a branch or tag (zeros: deletes it) and tells of it."""
        repository = self.repository(project)
        old = git(repository, "for-each-ref", "--format=%(objectname)", ref) or ZEROS
        if new == ZEROS:
            git(repository, "update-ref", "-d", ref, old)
        else:
            git(repository, "update-ref", ref, new, old)
        self.emit(events.ref_updated(self.recorder, project, ref, old, new, who, self.now()))

    def patch_set_of(self, project: str, branch: str, revision: str) -> tuple[Change, PatchSet] | None:
        """The change and patch set whose commit this is."""
        for change in self.changes.values():
            if (change.project, change.branch) == (project, branch):
                for patch_set in change.patch_sets:
                    if patch_set.revision == revision:
                        return change, patch_set
        return None
