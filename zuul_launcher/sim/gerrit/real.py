"""Does what people do on a real Gerrit: REST for their acts, git over SSH for their pushes. See `site.GerritSite`.

Source: Gerrit's REST API documentation. `admin` has the password of a server initialised with `--dev`; the other
people are created by `set_up` and get the same one.
"""

import base64
import json
import os
import secrets
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paramiko

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.sim.gerrit.git import (
    DEADLINE,
    Author,
    build_commit,
    clean_environment,
    create_repository,
    git,
)
from zuul_launcher.sim.gerrit.message import with_change_id
from zuul_launcher.sim.gerrit.site import APPROVED, LABELS, PEOPLE, Pushed, email_of

PASSWORD = "secret"  # noqa: S105 -- Gerrit's own word for a developer's server


class RealGerrit:
    """A site on a running Gerrit. Commits are built in clones under `directory`, which also holds the keys."""

    def __init__(self, *, directory: Path, base_url: str, host: str, port: int, git_dir: Path, host_key: str) -> None:
        """`base_url` ends with "/"; `git_dir` is the server's own; `host_key` is "TYPE BASE64"."""
        self.host = host
        self.port = port
        self.base_url = base_url
        self._directory = directory
        self.git_dir = git_dir
        self.host_key = host_key

    # The server

    def set_up(self, labels: Mapping[str, tuple[int, int]] = {**LABELS, **APPROVED}) -> None:
        """Creates people, labels and rights on a server that was just initialised.

        `Approved` is a label that submitting does not need: the layouts of Zuul v2 trigger on it.
        """
        (self._directory / "keys").mkdir(parents=True, exist_ok=True)
        for username, name in PEOPLE.items():
            key = paramiko.ECDSAKey.generate()
            key.write_private_key_file(str(self.key_file(username)))
            public = f"{key.get_name()} {key.get_base64()} {username}"
            if username == "admin":
                self._call("POST", "accounts/admin/sshkeys", text=public)
            else:
                account = {"name": name, "email": email_of(username), "ssh_key": public, "http_password": PASSWORD}
                groups = ["Service Users"] if username == "zuul" else []
                self._call("PUT", f"accounts/{username}", {**account, "groups": groups})
        for label, (lowest, highest) in labels.items():
            if label != "Code-Review":
                values = {f"{value:+d}" if value else " 0": f"Vote {value}" for value in range(lowest, highest + 1)}
                function = "NoBlock" if label in APPROVED else "MaxWithBlock"
                body = {"function": function, "values": values, "commit_message": f"Create label {label}"}
                self._call("PUT", f"projects/All-Projects/labels/{label}", body)
        self._grant(labels)

    def _grant(self, labels: Mapping[str, tuple[int, int]]) -> None:
        """Registered users vote on all labels but Verified, and abandon their own; zuul and admin do all."""
        services, admins, all_of_them = (
            self._group("Service Users"),
            self._group("Administrators"),
            "global:Registered-Users",
        )
        heads: dict[str, Any] = {}
        for label, (lowest, highest) in labels.items():
            groups = [services, admins] if label == "Verified" else [all_of_them, services, admins]
            rule = {"action": "ALLOW", "min": lowest, "max": highest}
            heads[f"label-{label}"] = {"label": label, "exclusive": False, "rules": dict.fromkeys(groups, rule)}
        heads["submit"] = {"rules": {services: {"action": "ALLOW"}, admins: {"action": "ALLOW"}}}
        heads["abandon"] = {"rules": {services: {"action": "ALLOW"}, admins: {"action": "ALLOW"}}}
        heads["push"] = {"rules": {admins: {"action": "ALLOW", "force": True}}}
        heads["delete"] = {"rules": {admins: {"action": "ALLOW"}}}
        body = {"add": {"refs/heads/*": {"permissions": heads}}, "message": "Grant what the tests need"}
        self._call("POST", "projects/All-Projects/access", body)

    def _group(self, name: str) -> str:
        return str(self._call("GET", f"groups/{urllib.parse.quote(name)}")["id"])

    def known_hosts_line(self) -> str:
        return f"[{self.host}]:{self.port} {self.host_key}"

    def key_file(self, username: str) -> Path:
        return self._directory / "keys" / username

    def repository(self, project: str) -> Path:
        return self.git_dir / f"{project}.git"

    # Projects and branches

    def create_project(self, name: str, files: Mapping[str, str] = {}) -> None:
        quoted = urllib.parse.quote(name, safe="")
        body = {"create_empty_commit": True, "submit_type": "MERGE_IF_NECESSARY", "branches": ["master"]}
        self._call("PUT", f"projects/{quoted}", body)
        create_repository(self._clone(name))
        if files:
            self.push_commit(name, "master", files, "Add the first files\n")

    def create_branch(self, project: str, branch: str, start: str = "master") -> None:
        path = f"projects/{urllib.parse.quote(project, safe='')}/branches/{urllib.parse.quote(branch, safe='')}"
        self._call("PUT", path, {"revision": self.head(project, start)})

    def delete_branch(self, project: str, branch: str) -> None:
        path = f"projects/{urllib.parse.quote(project, safe='')}/branches/{urllib.parse.quote(branch, safe='')}"
        self._call("DELETE", path, {})

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
        message, change_id = with_change_id(message, change_id or "I" + secrets.token_hex(20))
        revision = self._build(project, parent or self.head(project, branch), files, message, username)
        options = f"%topic={topic}" if topic else ""
        self._push(project, f"{revision}:refs/for/{branch}{options}", username)
        return self._find(project, branch, change_id, revision)

    def push_patch_set(
        self,
        change: Pushed,
        files: Mapping[str, str | None],
        *,
        message: str = "",
        parent: str = "",
        username: str = "ann",
    ) -> Pushed:
        repository = self._fetch(change.project)
        message = message or git(repository, "show", "--no-patch", "--format=%B", change.revision)
        message, _ = with_change_id(message, change.change_id)
        parent = parent or git(repository, "rev-parse", f"{change.revision}^")
        revision = self._build(change.project, parent, files, message, username)
        self._push(change.project, f"{revision}:refs/for/{change.branch}", username)
        return self._find(change.project, change.branch, change.change_id, revision)

    def push_commit(self, project: str, branch: str, files: Mapping[str, str | None], message: str) -> str:
        revision = self._build(project, self.head(project, branch), files, message, "admin")
        self._push(project, f"{revision}:refs/heads/{branch}", "admin")
        return revision

    def _clone(self, project: str) -> Path:
        return self._directory / "clones" / f"{project}.git"

    def _fetch(self, project: str) -> Path:
        """Brings the clone up to date, straight from the server's disk: what is tested is pushing."""
        clone = self._clone(project)
        git(clone, "fetch", "--quiet", str(self.repository(project)), "+refs/*:refs/server/*")
        return clone

    def _build(self, project: str, parent: str, files: Mapping[str, str | None], message: str, username: str) -> str:
        author = Author(PEOPLE[username], email_of(username), int(time.time()))
        return build_commit(self._fetch(project), [parent], files, message, author)

    def _push(self, project: str, refspec: str, username: str) -> None:
        known_hosts = self._directory / "known_hosts"
        fresh = known_hosts.with_suffix(f".{threading.get_ident()}")
        fresh.write_text(self.known_hosts_line() + "\n")
        fresh.replace(known_hosts)  # another push may be reading it
        ssh = f"ssh -F {os.devnull} -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityFile={self.key_file(username)}"
        ssh += f" -o UserKnownHostsFile={known_hosts}"
        finished = subprocess.run(
            ["git", "push", f"ssh://{username}@{self.host}:{self.port}/{project}", refspec],
            cwd=self._clone(project),
            capture_output=True,
            timeout=DEADLINE,
            env=clean_environment(GIT_SSH_COMMAND=ssh),
            check=False,
        )
        if finished.returncode != 0:
            raise RemoteRefused(finished.stderr.decode(errors="replace"))

    def _find(self, project: str, branch: str, change_id: str, revision: str) -> Pushed:
        """Asks until the index knows the revision: right after a write it may not."""
        triplet = "~".join(urllib.parse.quote(part, safe="") for part in (project, branch, change_id))
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                change = self._call("GET", f"changes/{triplet}?o=ALL_REVISIONS")
            except RemoteRefused:
                change = {"revisions": {}}
            if revision in change["revisions"]:
                return Pushed(
                    project=project,
                    branch=branch,
                    number=str(change["_number"]),
                    patch_set=str(change["revisions"][revision]["_number"]),
                    change_id=change_id,
                    revision=revision,
                )
            time.sleep(0.05)
        raise RemoteUnavailable(f"Gerrit does not show {revision} of {change_id}")

    # Acts of people

    def vote(self, change: Pushed, label: str, value: int, username: str = "ann", message: str = "") -> None:
        body = {"labels": {label: value}, "message": message}
        self._call("POST", f"changes/{change.number}/revisions/{change.patch_set}/review", body, username=username)

    def comment(self, change: Pushed, message: str, username: str = "ann") -> None:
        body = {"message": message}
        self._call("POST", f"changes/{change.number}/revisions/{change.patch_set}/review", body, username=username)

    def abandon(self, change: Pushed, username: str = "ann") -> None:
        self._call("POST", f"changes/{change.number}/abandon", {}, username=username)

    def restore(self, change: Pushed, username: str = "ann") -> None:
        self._call("POST", f"changes/{change.number}/restore", {}, username=username)

    def submit(self, change: Pushed, username: str = "admin") -> None:
        self._call("POST", f"changes/{change.number}/submit", {}, username=username)

    def merge_by_hand(self, change: Pushed) -> None:
        votes = {label: highest for label, (_, highest) in LABELS.items()}
        self._call("POST", f"changes/{change.number}/revisions/current/review", {"labels": votes})
        self.submit(change)

    # Looks

    def status(self, change: Pushed) -> str:
        return str(self._call("GET", f"changes/{change.number}")["status"])

    def messages(self, change: Pushed) -> list[str]:
        return [str(entry["message"]) for entry in self._call("GET", f"changes/{change.number}/messages")]

    def votes(self, change: Pushed) -> dict[str, dict[str, int]]:
        detail = self._call("GET", f"changes/{change.number}/detail")
        return {
            label: cast
            for label, entry in detail["labels"].items()
            if (cast := {vote["username"]: vote["value"] for vote in entry.get("all", []) if vote.get("value")})
        }

    def head(self, project: str, branch: str = "master") -> str:
        return git(self.repository(project), "rev-parse", "--verify", f"refs/heads/{branch}")

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, text: str = "", username: str = "admin"
    ) -> Any:
        """One REST call; returns the decoded answer. Raises RemoteRefused with Gerrit's words."""
        data = text.encode() if text else None if body is None else json.dumps(body).encode()
        basic = base64.b64encode(f"{username}:{PASSWORD}".encode()).decode()
        kind = "text/plain" if text else "application/json"
        request = urllib.request.Request(  # noqa: S310 -- the URL is the test server's
            f"{self.base_url}a/{path}",
            data=data,
            method=method,
            headers={"Authorization": f"Basic {basic}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:  # noqa: S310
                content = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                raise RemoteRefused(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None
        return json.loads(content.removeprefix(")]}'\n")) if content.startswith(")]}'") else None
