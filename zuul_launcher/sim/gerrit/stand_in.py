"""The stand-in Gerrit: a server on SSH, real git repositories, the rest in memory. See `site.GerritSite`.

with SimGerrit(directory) as site:
    site.create_project("org/project", {"README": "hello\\n"})
    change = site.push_change("org/project", "master", {"a.txt": "a\\n"}, "Add a")
    site.vote(change, "Code-Review", 2)
"""

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import paramiko

from zuul_launcher.sim.gerrit import events, review
from zuul_launcher.sim.gerrit.dialect import Dialect
from zuul_launcher.sim.gerrit.faults import Faults
from zuul_launcher.sim.gerrit.git import ZEROS, Author, build_commit, create_repository
from zuul_launcher.sim.gerrit.message import with_change_id
from zuul_launcher.sim.gerrit.model import ALL_LABELS, Change, PatchSet, Refused
from zuul_launcher.sim.gerrit.push import push_for_review
from zuul_launcher.sim.gerrit.site import PEOPLE, Pushed, email_of
from zuul_launcher.sim.gerrit.ssh import Server
from zuul_launcher.sim.gerrit.state import State
from zuul_launcher.sim.gerrit.submit import submit


class SimGerrit:
    """A stand-in Gerrit on 127.0.0.1 with the people of `site.PEOPLE`. `directory` holds its keys and repositories."""

    host = "127.0.0.1"

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        base_url: str = "http://gerrit.example.com/",
        dialect: Dialect = Dialect(),  # noqa: B008 -- frozen
    ) -> None:
        """`base_url` stands in the links to changes; nothing answers there."""
        self.port = port
        self.base_url = base_url
        self.faults = Faults()
        self._directory = directory
        self._state = State(git_dir=directory / "git", base_url=base_url, dialect=dialect)
        (directory / "git").mkdir(parents=True, exist_ok=True)
        self._host_key = _key(directory / "host_key")
        self._server = Server(
            self._state,
            self.faults,
            host_key=self._host_key,
            user_keys={username: _key(self.key_file(username)) for username in PEOPLE},
            create_project=self.create_project,
        )

    def start(self) -> None:
        self.port = self._server.start(self.host, self.port)

    def stop(self) -> None:
        """Ends all connections and threads; the repositories stay."""
        self._server.stop()

    def __enter__(self) -> "SimGerrit":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def known_hosts_line(self) -> str:
        return f"[{self.host}]:{self.port} {self._host_key.get_name()} {self._host_key.get_base64()}"

    def key_file(self, username: str) -> Path:
        return self._directory / "keys" / username

    def repository(self, project: str) -> Path:
        return self._state.repository(project)

    # What goes wrong (see also `faults`)

    def drop_streams(self) -> int:
        """Cuts every connection on which events are watched; returns how many there were."""
        with self._state.lock:
            streams = list(self._server.streams)
        for transport in streams:
            transport.close()
        return len(streams)

    def watchers(self) -> int:
        """How many watch events now: wait for it before doing what they are to see."""
        return len(self._server.streams)

    def say(self, line: str) -> None:
        """Sends this line to all who watch events, whatever it is."""
        with self._state.lock:
            for listener in self._state.listeners:
                listener.put(line)

    def refuse_submit(self, change: Pushed) -> None:
        """From now on the change can not be submitted, as if it conflicted with the branch."""
        self._state.refused_submits.add(int(change.number))

    # Projects and branches

    def create_project(self, name: str, files: Mapping[str, str] = {}) -> None:
        with self._state.lock:
            path = self._state.git_dir / f"{name}.git"
            if path.exists():
                raise Refused("Project already exists")
            create_repository(path)
            commit = build_commit(path, [], files, "Initial empty repository\n", self._author("admin"))
            self._move(name, "refs/heads/master", commit)
            self._state.emit(events.project_created(name, self._state.now()))

    def create_branch(self, project: str, branch: str, start: str = "master") -> None:
        self._move(project, f"refs/heads/{branch}", self.head(project, start))

    def delete_branch(self, project: str, branch: str) -> None:
        self._move(project, f"refs/heads/{branch}", ZEROS)

    def _move(self, project: str, ref: str, new: str) -> None:
        with self._state.lock:
            self._state.move_branch(project, ref, new, self._state.people["admin"])

    # Pushes

    def push_change(
        self,
        project: str,
        branch: str,
        files: Mapping[str, str | None],
        message: str,
        *,
        parent: str = "",
        change_id: str = "",
        topic: str = "",
        username: str = "ann",
    ) -> Pushed:
        with self._state.lock:
            message, change_id = with_change_id(message, change_id or "I" + secrets.token_hex(20))
            repository = self.repository(project)
            parents = [parent or self.head(project, branch)]
            commit = build_commit(repository, parents, files, message, self._author(username))
            who = self._state.people[username]
            return _pushed(push_for_review(self._state, project, branch, commit, who, topic)[-1])

    def push_patch_set(
        self,
        change: Pushed,
        files: Mapping[str, str | None],
        *,
        message: str = "",
        parent: str = "",
        username: str = "ann",
    ) -> Pushed:
        with self._state.lock:
            last = self._change(change).current
            message = message or last.commit_message
            message, _ = with_change_id(message, change.change_id)
            repository = self.repository(change.project)
            commit = build_commit(repository, [parent or last.parents[0]], files, message, self._author(username))
            who = self._state.people[username]
            return _pushed(push_for_review(self._state, change.project, change.branch, commit, who)[-1])

    def push_commit(self, project: str, branch: str, files: Mapping[str, str | None], message: str) -> str:
        with self._state.lock:
            parents = [self.head(project, branch)]
            commit = build_commit(self.repository(project), parents, files, message, self._author("admin"))
            self._move(project, f"refs/heads/{branch}", commit)
            return commit

    # Acts of people

    def vote(self, change: Pushed, label: str, value: int, username: str = "ann", message: str = "") -> None:
        self._review(change, review.Review(votes={label: value}, message=message), username)

    def comment(self, change: Pushed, message: str, username: str = "ann") -> None:
        self._review(change, review.Review(message=message), username)

    def _review(self, change: Pushed, wanted: review.Review, username: str) -> None:
        with self._state.lock:
            target = self._change(change)
            patch_set = target.patch_sets[int(change.patch_set) - 1]
            review.review(self._state, target, patch_set, wanted, self._state.people[username])

    def abandon(self, change: Pushed, username: str = "ann") -> None:
        with self._state.lock:
            review.abandon(self._state, self._change(change), self._state.people[username], "")

    def restore(self, change: Pushed, username: str = "ann") -> None:
        with self._state.lock:
            review.restore(self._state, self._change(change), self._state.people[username], "")

    def submit(self, change: Pushed, username: str = "admin") -> None:
        with self._state.lock:
            target = self._change(change)
            submit(self._state, target, target.current, self._state.people[username])

    def merge_by_hand(self, change: Pushed) -> None:
        with self._state.lock:
            target = self._change(change)
            votes = {label: highest for label, (_, highest) in ALL_LABELS.items()}
            who = self._state.people["admin"]
            review.review(self._state, target, target.current, review.Review(votes=votes, submit=True), who)

    # Looks

    def status(self, change: Pushed) -> str:
        return self._change(change).status

    def messages(self, change: Pushed) -> list[str]:
        with self._state.lock:
            return [message.text for message in self._change(change).messages]

    def votes(self, change: Pushed) -> dict[str, dict[str, int]]:
        with self._state.lock:
            cast: dict[str, dict[str, int]] = {}
            for vote in self._change(change).current.votes:
                if vote.label in ALL_LABELS:
                    cast.setdefault(vote.label, {})[vote.by.username] = vote.value
            return cast

    def head(self, project: str, branch: str = "master") -> str:
        commit = self._state.head(project, branch)
        if not commit:
            raise Refused(f"branch {branch} not found")
        return commit

    def _change(self, change: Pushed) -> Change:
        return self._state.change(int(change.number))

    def _author(self, username: str) -> Author:
        return Author(PEOPLE[username], email_of(username), int(time.time()))


def _pushed(change: Change) -> Pushed:
    patch_set: PatchSet = change.current
    return Pushed(
        project=change.project,
        branch=change.branch,
        number=str(change.number),
        patch_set=str(patch_set.number),
        change_id=change.change_id,
        revision=patch_set.revision,
    )


def _key(path: Path) -> paramiko.PKey:
    """The key in a file, which is made if it is missing: a restart on the same directory keeps its keys."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        paramiko.ECDSAKey.generate().write_private_key_file(str(path))
    return paramiko.ECDSAKey.from_private_key_file(str(path))
