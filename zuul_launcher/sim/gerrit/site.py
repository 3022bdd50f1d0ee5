"""What people do on a Gerrit site, whichever Gerrit it is: the language of tests and of the demo.

Change and patch set numbers are text, as everywhere here. Every act returns when Gerrit has done it, so that a query
right after it sees it. What Gerrit refuses is raised as `RemoteRefused` with Gerrit's own words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# The people of every site. All vote on Code-Review; `admin` and `zuul` on every label, and these two submit.
# `admin` pushes past review. `ann` and `ben` abandon their own changes only.
PEOPLE = {"admin": "Administrator", "zuul": "Zuul", "ann": "Ann", "ben": "Ben"}

# Label -> (lowest, highest) vote; each has to be at its highest, and nowhere at its lowest, to submit.
LABELS = {"Code-Review": (-2, 2), "Verified": (-2, 2)}
APPROVED = {"Approved": (-1, 1)}  # the third label of Zuul v2's own scenarios


def email_of(username: str) -> str:
    """The address that a person of the site commits with."""
    return f"{username}@example.com"


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """One patch set, as the push that made it reported it."""

    project: str
    branch: str  # short: "master"
    number: str
    patch_set: str
    change_id: str  # "I" and 40 hex digits
    revision: str  # the commit: pass it as `parent` to stack a change on this one

    @property
    def id(self) -> str:
        """`number,patchset`, as commands name it."""
        return f"{self.number},{self.patch_set}"

    @property
    def ref(self) -> str:
        return f"refs/changes/{self.number[-2:].zfill(2)}/{self.number}/{self.patch_set}"


class GerritSite(Protocol):
    """A Gerrit with the people of `PEOPLE`.

    In `files`, None as content deletes the file. `parent` is a commit; "" is the head of the branch (for a new patch
    set: the parent of the last one).
    """

    host: str
    port: int  # of SSH

    def known_hosts_line(self) -> str:
        """The line of its host key for known_hosts, without a line end."""

    def key_file(self, username: str) -> Path:
        """The private SSH key of one of the people."""

    def repository(self, project: str) -> Path:
        """The bare repository on the server's disk, to read from."""

    def create_project(self, name: str, files: Mapping[str, str] = {}) -> None:
        """Creates a project whose branch `master` has these files; its first commit too is a `ref-updated`."""

    def create_branch(self, project: str, branch: str, start: str = "master") -> None:
        """Creates a branch at the head of another one: a `ref-updated` from zeros."""

    def delete_branch(self, project: str, branch: str) -> None:
        """Deletes a branch: a `ref-updated` to zeros."""

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
        """Uploads one commit for review. Without `change_id` (nor one in the message) a new one is drawn."""

    def push_patch_set(
        self,
        change: Pushed,
        files: Mapping[str, str | None],
        *,
        message: str = "",
        parent: str = "",
        username: str = "ann",
    ) -> Pushed:
        """Uploads a further patch set: the given files on `parent`; without `message` that of the last one."""

    def push_commit(self, project: str, branch: str, files: Mapping[str, str | None], message: str) -> str:
        """Pushes a commit of `admin` past review and returns it."""

    def vote(self, change: Pushed, label: str, value: int, username: str = "ann", message: str = "") -> None:
        """Votes on the given patch set."""

    def comment(self, change: Pushed, message: str, username: str = "ann") -> None:
        """Leaves a message without a vote on the given patch set."""

    def abandon(self, change: Pushed, username: str = "ann") -> None: ...

    def restore(self, change: Pushed, username: str = "ann") -> None: ...

    def submit(self, change: Pushed, username: str = "admin") -> None:
        """Submits the change with the votes that it has."""

    def merge_by_hand(self, change: Pushed) -> None:
        """`admin` gives every label its highest vote and submits, as a person in a hurry does."""

    def status(self, change: Pushed) -> str:
        """NEW, MERGED or ABANDONED."""

    def messages(self, change: Pushed) -> list[str]:
        """All messages on the change, oldest first, with Gerrit's own heading line ("Patch Set 1: ...")."""

    def votes(self, change: Pushed) -> dict[str, dict[str, int]]:
        """Label -> username -> vote on the current patch set; votes of 0 are left out."""

    def head(self, project: str, branch: str = "master") -> str:
        """The commit at the head of a branch."""
