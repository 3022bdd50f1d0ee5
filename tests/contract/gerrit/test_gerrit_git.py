"""What git can fetch from Gerrit and push to it."""

import uuid
from pathlib import Path

import pytest
from support.gerrit_client import GerritClient
from support.gerrit_facts import (
    push,
)

from zuul_launcher.errors import RemoteRefused
from zuul_launcher.sim.gerrit.site import GerritSite


def test_patch_sets_and_branches_are_fetched_over_ssh(
    site: GerritSite, client: GerritClient, project: str, tmp_path: Path
) -> None:
    change = push(site, project)
    assert client.git(tmp_path, "clone", client.url(project), "clone").returncode == 0
    clone = tmp_path / "clone"
    assert (clone / "README").read_text() == "hello\n"
    assert client.git(clone, "fetch", "origin", change.ref).returncode == 0
    assert client.git(clone, "rev-parse", "FETCH_HEAD").stdout.strip() == change.revision
    listed = client.git(clone, "ls-remote", "origin", "refs/heads/*").stdout.split()
    assert listed == [site.head(project), "refs/heads/master"]
    missing = client.git(clone, "fetch", client.url("org/nosuch"), "master")
    assert "project org/nosuch not found" in missing.stderr


def test_a_push_for_review_makes_a_change_of_each_commit(
    site: GerritSite, client: GerritClient, project: str, tmp_path: Path
) -> None:
    assert client.git(tmp_path, "clone", client.url(project), "clone").returncode == 0
    clone = tmp_path / "clone"
    ids = [f"I{uuid.uuid4().hex}{at:08x}" for at in range(2)]
    for name, change_id in zip("ab", ids, strict=True):
        (clone / name).write_text(f"{name}\n" * 20_000)
        client.git(clone, "add", "--all")
        client.git(clone, "commit", "--message", f"Add {name}\n\nChange-Id: {change_id}")
    pushed = client.git(clone, "push", "origin", "HEAD:refs/for/master")
    assert pushed.returncode == 0, pushed.stderr
    rows = client.query(f"--current-patch-set project:{project}")[:-1]
    numbers = {row["id"]: row["number"] for row in rows}
    assert sorted(numbers) == sorted(ids)
    for change_id in ids:
        assert f"{site.base_url}c/{project}/+/{numbers[change_id]} Add " in pushed.stderr
    again = client.git(clone, "push", "origin", "HEAD:refs/for/master")
    assert "(no new changes)" in again.stderr


def test_a_push_that_gerrit_does_not_take_is_refused(
    site: GerritSite, client: GerritClient, project: str, tmp_path: Path
) -> None:
    client.git(tmp_path, "clone", client.url(project), "clone")
    clone = tmp_path / "clone"
    client.git(clone, "commit", "--allow-empty", "--message", "No footer")
    for ref, reason in {
        "refs/for/master": "missing Change-Id in message footer)",
        "refs/for/nosuch": "(branch nosuch not found)",
        "refs/heads/master": "(prohibited by Gerrit: not permitted: update)",
        "refs/heads/new": "(prohibited by Gerrit: not permitted: create)",
    }.items():
        refused = client.git(clone, "push", "origin", f"HEAD:{ref}")
        assert (refused.returncode, reason in refused.stderr) == (1, True), refused.stderr
    assert client.query(f"project:{project}")[0]["type"] == "stats"


def test_what_people_may_not_do_is_raised(site: GerritSite, project: str) -> None:
    change = push(site, project)
    with pytest.raises(RemoteRefused, match="restricted"):
        site.vote(change, "Verified", 1, "ann")
    with pytest.raises(RemoteRefused, match="not permitted"):
        site.abandon(change, "ben")
    with pytest.raises(RemoteRefused, match="submit requirement"):
        site.submit(change)
    with pytest.raises(RemoteRefused, match="already exists"):
        site.create_project(project)
    assert len(site.messages(change)) == 1
