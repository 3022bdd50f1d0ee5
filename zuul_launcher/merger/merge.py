"""A whole request: the items of a chain are merged one on top of the other, each once, and published under their names.

1. What is published already is taken as it is: each item of a chain costs one merge, whoever asks again.
2. All that a request needs of a repository is fetched at once; the tip of a branch is where its first new item starts,
   and with it come all branches and tags.
3. Under an item's name each (project, branch) touched so far holds its latest commit: the state that belongs together.
4. An item's own ref is published last of its name, so that where it exists the others do too.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zuul_launcher.errors import RequestError
from zuul_launcher.git import Git
from zuul_launcher.merger.combine import Conflict, combine
from zuul_launcher.merger.environment import base_environment, own_ssh_command, ssh_command
from zuul_launcher.merger.names import PRIVATE_FOLDER, check_branch, check_project, check_ref, check_url, zuul_ref
from zuul_launcher.merger.place import Place, remove_stale_files
from zuul_launcher.merger.repo import Repository, remote_head
from zuul_launcher.merger.request import (
    MergeItem,
    MergeReply,
    MergeRequest,
    UpdateReply,
    UpdateRequest,
)
from zuul_launcher.merger.settings import GitAccess, MergerSettings

log = logging.getLogger(__name__)


@dataclass
class Needs:
    """What a request must fetch into one project's repository."""

    branches: list[str] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Publication:
    """Commits to publish in one repository: of other projects' items, and of its own."""

    foreign: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)


def needs_of(items: Sequence[MergeItem], published: Mapping[str, Mapping[str, str]]) -> dict[str, Needs]:
    """What to fetch, by project, when these refs are published (project → ref → commit) already."""
    needs: dict[str, Needs] = {}
    based: set[tuple[str, str]] = set()
    for item in items:
        if zuul_ref(item.branch, item.ref) not in published[item.project]:
            of_project = needs.setdefault(item.project, Needs())
            of_project.refs.append(item.refspec)
            if (item.project, item.branch) not in based:
                of_project.branches.append(item.branch)
        based.add((item.project, item.branch))
    return needs


class Merger:
    """The repositories below GIT_DIR and what is done with them; for one thread.

    :raises ConfigurationError: GIT_DIR cannot be had.
    """

    def __init__(self, settings: MergerSettings) -> None:
        self.settings = settings
        self.place = Place(settings.git_dir)
        environment = base_environment(
            settings.environment, settings.user_name, settings.user_email, settings.allow_file
        )
        self.git = Git(environment, settings.git_timeout, (self.place.lock,))
        self.repositories: dict[str, Repository] = {}
        self._ssh = {name: self._ssh_command(name, access) for name, access in settings.connections.items()}

    def close(self) -> None:
        """Let another process have GIT_DIR."""
        self.place.close()

    def merge(self, request: MergeRequest) -> MergeReply:
        """Merge the items in order and publish each. See the errors of `errors` for what did not work for now.

        A conflict, and what will not work later either, is in the reply.
        """
        try:
            return self._merge(request.items)
        except _NotMerged as conflict:
            return MergeReply(merged=False, zuul_url=self.settings.zuul_url, conflicts=list(conflict.files))

    def update(self, request: UpdateRequest) -> UpdateReply:
        """Fetch all branches and tags of a project."""
        check_project(request.project)
        url = check_url(request.url, self.settings.allow_file)
        self.open(request.project, url, request.connection_name).mirror(url, self._access(request.connection_name))
        return UpdateReply(updated=True, zuul_url=self.settings.zuul_url)

    def open(self, project: str, url: str, connection_name: str) -> Repository:
        """The project's repository, made first if there is none."""
        git_dir = self.place.find(project)
        if git_dir is None:
            log.info("Making a repository for %s", project)
            head = remote_head(self.git.at(self.place.scratch), url, self._access(connection_name))
            self.repositories[project] = Repository(self.place.create(project, self.git), self.git)
            if head:
                self.repositories[project].point_head(head)
        elif project not in self.repositories:
            for path in remove_stale_files(git_dir):
                log.warning("Removed %s, which a killed git left", path)
            self.repositories[project] = Repository(git_dir, self.git)
        return self.repositories[project]

    def _merge(self, items: Sequence[MergeItem]) -> MergeReply:
        for item in items:
            self._check(item)
        first_of = {item.project: item for item in reversed(items)}
        opened = {project: self.open(project, item.url, item.connection_name) for project, item in first_of.items()}
        published = {
            project: repository.look_up(zuul_ref(item.branch, item.ref) for item in items if item.project == project)
            for project, repository in opened.items()
        }
        fetched: dict[str, dict[str, str]] = {project: {} for project in opened}
        for project, needs in needs_of(items, published).items():
            item = first_of[project]
            access = self._access(item.connection_name)
            fetched[project] = opened[project].fetch(item.url, access, needs.branches, needs.refs)
        return self._merge_fetched(items, opened, published, fetched)

    def _merge_fetched(
        self,
        items: Sequence[MergeItem],
        opened: Mapping[str, Repository],
        published: Mapping[str, Mapping[str, str]],
        fetched: Mapping[str, Mapping[str, str]],
    ) -> MergeReply:
        latest: dict[tuple[str, str], str] = {}
        publications = {project: Publication() for project in opened}
        try:
            for item in items:
                key, ref = (item.project, item.branch), zuul_ref(item.branch, item.ref)
                known = published[item.project].get(ref)
                if known:
                    latest[key] = known
                    continue
                ours = latest.get(key) or fetched[item.project][f"refs/heads/{item.branch}"]
                latest[key] = self._combine(opened[item.project], item, ours, fetched[item.project][item.refspec])
                for (project, branch), commit in latest.items():
                    own = (project, branch) == key
                    publication = publications[project]
                    (publication.own if own else publication.foreign)[zuul_ref(branch, item.ref)] = commit
        finally:
            for project, publication in publications.items():
                opened[project].publish(publication.foreign)
            for project, publication in publications.items():
                opened[project].publish(publication.own)
        last = items[-1]
        return MergeReply(merged=True, zuul_url=self.settings.zuul_url, commit=latest[last.project, last.branch])

    def _combine(self, repository: Repository, item: MergeItem, ours: str, theirs: str) -> str:
        message = f"Merge {item.title} into {item.branch}"
        combined = combine(repository, self.place.scratch, item.merge_mode, ours, theirs, message)
        if isinstance(combined, Conflict):
            log.info("%s of %s conflicts with %s in %s", item.title, item.project, ours, ", ".join(combined.files))
            raise _NotMerged(combined.files)
        log.info("%s of %s on %s gives %s", item.title, item.project, ours, combined)
        return combined

    def _check(self, item: MergeItem) -> None:
        check_project(item.project)
        check_url(item.url, self.settings.allow_file)
        check_branch(item.branch)
        check_ref(item.refspec)
        zuul_ref(item.branch, item.ref)

    def _access(self, connection_name: str) -> str:
        return self._ssh.get(connection_name) or self._ssh_command(connection_name, GitAccess())

    def _ssh_command(self, name: str, access: GitAccess) -> str:
        own_ssh = self.settings.own_ssh
        if own_ssh and not shutil.which("ssh", path=self.git.environment["PATH"]):
            return own_ssh_command(own_ssh, access)
        pinned: Path | None = None
        if access.host_key:
            # One file a connection, so the key may stand for any host name.
            number = list(self.settings.connections).index(name)
            pinned = self.settings.git_dir / PRIVATE_FOLDER / f"known_hosts.{number}"
            pinned.write_text(f"* {access.host_key.strip()}\n", encoding="utf-8")
        return ssh_command(access, pinned)


class _NotMerged(RequestError):
    """An item of a chain conflicts."""

    def __init__(self, files: Sequence[str]) -> None:
        super().__init__(", ".join(files))
        self.files = files
