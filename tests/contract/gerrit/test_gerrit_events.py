"""What Gerrit tells of on its event stream."""

from support.gerrit_client import GerritClient
from support.gerrit_facts import ACCOUNT, OF_CHANGE, ZEROS, push, shape

from zuul_launcher.sim.gerrit.site import GerritSite


def test_an_uploaded_patch_set_is_told_of(site: GerritSite, client: GerritClient, project: str) -> None:
    with client.watch(project) as watcher:
        change = push(site, project)
        event = watcher.until_type("patchset-created")
    assert shape(event) == {**OF_CHANGE, "uploader": ACCOUNT}
    assert event["uploader"] == {"name": "Ann", "email": "ann@example.com", "username": "ann"}
    assert (event["change"]["number"], event["patchSet"]["number"]) == (int(change.number), 1)
    assert event["patchSet"]["ref"] == change.ref
    assert event["patchSet"]["revision"] == change.revision
    assert event["change"]["branch"] == "master"
    assert event["refName"] == "refs/heads/master"
    assert event["change"]["id"] == event["changeKey"]["id"] == change.change_id
    assert event["change"]["commitMessage"] == f"Add a\n\nChange-Id: {change.change_id}\n"
    assert event["change"]["url"] == f"{site.base_url}c/{project}/+/{change.number}"


def test_a_vote_is_told_of_with_all_votes_of_the_voter(site: GerritSite, client: GerritClient, project: str) -> None:
    change = push(site, project)
    site.vote(change, "Code-Review", -1, "ben")
    with client.watch(project) as watcher:
        site.vote(change, "Code-Review", 2, "ben", 'say "yes"\nplease')
        event = watcher.until_type("comment-added")
    approvals = event.pop("approvals")
    assert shape(event) == {**OF_CHANGE, "author": ACCOUNT, "comment": "str"}
    assert event["author"]["username"] == "ben"
    assert event["comment"] == 'Patch Set 1: Code-Review+2\n\nsay "yes"\nplease'
    assert sorted(approvals, key=str) == [
        {"type": "Approved", "description": "Approved", "value": "0"},
        {"type": "Code-Review", "description": "Code-Review", "value": "2", "oldValue": "-1"},
        {"type": "Verified", "description": "Verified", "value": "0"},
    ]


def test_abandoning_and_restoring_are_told_of(site: GerritSite, client: GerritClient, project: str) -> None:
    change = push(site, project)
    with client.watch(project) as watcher:
        site.abandon(change)
        assert site.status(change) == "ABANDONED"
        abandoned = watcher.until_type("change-abandoned")
        site.restore(change)
        assert site.status(change) == "NEW"
        restored = watcher.until_type("change-restored")
    assert shape(abandoned) == {**OF_CHANGE, "abandoner": ACCOUNT, "reason": "str"}
    assert shape(restored) == {**OF_CHANGE, "restorer": ACCOUNT}
    assert (abandoned["change"]["status"], restored["change"]["status"]) == ("ABANDONED", "NEW")
    assert site.messages(change)[1:] == ["Abandoned", "Restored"]


def test_a_branch_is_told_of_from_its_first_commit_to_its_end(
    site: GerritSite, client: GerritClient, project: str
) -> None:
    start = site.head(project)
    with client.watch(project) as watcher:
        site.create_branch(project, "stable")
        created = watcher.until_type("ref-updated")
        commit = site.push_commit(project, "stable", {"a": "a\n"}, "Add a\n")
        pushed = watcher.until_type("ref-updated")
        site.delete_branch(project, "stable")
        deleted = watcher.until_type("ref-updated")
    update = {"oldRev": "str", "newRev": "str", "refName": "str", "project": "str"}
    assert shape(created) == {"submitter": ACCOUNT, "refUpdate": update, "type": "str", "eventCreatedOn": "int"}
    steps = [(event["refUpdate"]["oldRev"], event["refUpdate"]["newRev"]) for event in (created, pushed, deleted)]
    assert steps == [(ZEROS, start), (start, commit), (commit, ZEROS)]
    assert pushed["refUpdate"]["refName"] == "refs/heads/stable"


def test_the_topic_of_a_push_is_told_of(site: GerritSite, client: GerritClient, project: str) -> None:
    with client.watch(project) as watcher:
        push(site, project, topic="spring")
        event = watcher.until_type("patchset-created")
    assert event["change"]["topic"] == "spring"


def test_only_some_may_watch_events(client: GerritClient) -> None:
    finished = client.run("gerrit stream-events", "ann")
    assert (finished.returncode, finished.stderr) == (1, "stream events not permitted\n")
