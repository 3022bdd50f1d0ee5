"""When a submit merges, and when it is refused."""

from pathlib import Path

from support.gerrit_client import GerritClient, quoted
from support.gerrit_facts import ACCOUNT, FAILED, OF_CHANGE, approve, one, push, shape

from zuul_launcher.sim.gerrit.site import GerritSite


def test_a_submit_merges_and_tells_of_branch_and_change(site: GerritSite, client: GerritClient, project: str) -> None:
    change = push(site, project)
    site.vote(change, "Code-Review", 2)
    with client.watch(project) as watcher:
        before = site.head(project)
        assert (
            client.review(project, change.id, "--message", quoted("gate passed"), "--label Verified=2 --submit") == ""
        )
        events = watcher.until(lambda event: event["type"] == "change-merged")
    assert [event["type"] for event in events] == ["comment-added", "ref-updated", "change-merged"]
    assert events[1]["refUpdate"] == {
        "oldRev": before,
        "newRev": change.revision,
        "refName": "refs/heads/master",
        "project": project,
    }
    assert shape(events[2]) == {**OF_CHANGE, "submitter": ACCOUNT, "newRev": "str"}
    assert events[2]["newRev"] == change.revision == site.head(project)
    assert events[2]["submitter"]["username"] == "zuul"
    assert events[2]["change"]["status"] == site.status(change) == "MERGED"
    row = one(client, change)
    assert (row["open"], row["status"]) == (False, "MERGED")
    assert {approval["type"] for approval in row["currentPatchSet"]["approvals"]} == {
        "Code-Review",
        "Verified",
        "SUBM",
    }
    assert site.messages(change)[2:] == [
        "Patch Set 1: Verified+2\n\ngate passed",
        "Change has been successfully merged",
    ]


def test_a_change_beside_the_branch_is_merged_by_a_merge_commit(
    site: GerritSite, client: GerritClient, project: str, tmp_path: Path
) -> None:
    change = push(site, project)
    site.push_commit(project, "master", {"b": "b\n"}, "Go on\n")
    before = site.head(project)
    approve(site, change)
    assert client.review(project, change.id, "--submit") == ""
    log = client.git(site.repository(project), "log", "-1", "--format=%P|%s", "master").stdout.strip()
    assert log == f'{before} {change.revision}|Merge "Add a"'
    assert client.git(site.repository(project), "ls-tree", "--name-only", "master").stdout.split() == [
        "README",
        "a",
        "b",
    ]


def test_a_submit_takes_the_open_changes_below_with_it(site: GerritSite, client: GerritClient, project: str) -> None:
    below = push(site, project, "a")
    above = push(site, project, "b", parent=below.revision)
    approve(site, above)
    refused = client.review(project, above.id, "--submit")
    assert refused.startswith("error: fatal: Failed to submit 2 changes due to the following problems:\n")
    assert f"Change {below.number}: submit requirement '" in refused
    approve(site, below)
    assert client.review(project, above.id, "--submit") == ""
    assert (site.status(below), site.status(above)) == ("MERGED", "MERGED")
    assert site.head(project) == above.revision


def test_a_change_on_an_outdated_or_abandoned_one_is_not_submitted(
    site: GerritSite, client: GerritClient, project: str
) -> None:
    below = push(site, project, "a")
    above = push(site, project, "b", parent=below.revision)
    approve(site, above)
    newer = site.push_patch_set(below, {"a": "2\n"})
    approve(site, newer)
    refused = client.review(project, above.id, "--submit")
    assert f"Change {above.number}: Depends on commit that cannot be merged." in refused
    site.abandon(newer)
    refused = client.review(project, above.id, "--submit")
    assert f"Change {above.number}: Depends on commit that cannot be merged." in refused
    assert site.status(above) == "NEW"


def test_an_unapproved_change_is_not_submitted_but_keeps_comment_and_vote(
    site: GerritSite, client: GerritClient, project: str
) -> None:
    change = push(site, project)
    before = site.head(project)
    refused = client.review(project, change.id, "--message x --label Verified=2 --submit")
    assert refused == (
        "error: fatal: Failed to submit 1 change due to the following problems:\n"
        f"Change {change.number}: submit requirement 'Code-Review' is unsatisfied.\n\n{FAILED}"
    )
    assert (site.status(change), site.head(project)) == ("NEW", before)
    assert site.messages(change)[1:] == ["Patch Set 1: Verified+2\n\nx"]


def test_a_conflicting_change_is_not_submitted(site: GerritSite, client: GerritClient, project: str) -> None:
    first = site.push_change(project, "master", {"README": "one\n"}, "One")
    second = site.push_change(project, "master", {"README": "two\n"}, "Two")
    approve(site, first)
    approve(site, second)
    site.submit(first)
    refused = client.review(project, second.id, "--submit")
    assert refused == (
        "error: fatal: Failed to submit 1 change due to the following problems:\n"
        f"Change {second.number}: Change could not be merged due to a path conflict. Please rebase the change locally"
        f" and upload the rebased commit for review.\n\n{FAILED}"
    )
    assert (site.status(second), site.head(project)) == ("NEW", first.revision)
    assert one(client, second)["submitRecords"][0]["status"] == "OK"


def test_only_the_current_patch_set_is_submitted_once_and_by_those_who_may(
    site: GerritSite, client: GerritClient, project: str
) -> None:
    old = push(site, project)
    new = site.push_patch_set(old, {"a": "2\n"})
    approve(site, new)
    refused = client.review(project, new.id, "--submit", username="ann")
    assert refused == f"error: fatal: submit not permitted\n\n{FAILED}"
    refused = client.review(project, old.id, "--submit")
    assert refused == f"error: fatal: revision {old.revision} is not current revision\n\n{FAILED}"
    assert client.review(project, new.id, "--submit") == ""
    assert client.review(project, new.id, "--submit") == f"error: fatal: change is merged\n\n{FAILED}"
