"""What Gerrit answers to queries."""

from support.gerrit_client import GerritClient
from support.gerrit_facts import ACCOUNT, CHANGE, PATCH_SET, one, push, shape

from zuul_launcher.sim.gerrit.site import GerritSite


def test_a_query_for_one_change_answers_all_that_is_asked(site: GerritSite, client: GerritClient, project: str) -> None:
    change = push(site, project)
    site.vote(change, "Code-Review", 2, message="good")
    row = one(client, change)
    told = {"open": "bool", "lastUpdated": "int", "hashtags": []}
    approval = {"type": "str", "description": "str", "value": "str", "grantedOn": "int", "by": ACCOUNT}
    file = {"file": "str", "type": "str", "insertions": "int", "deletions": "int"}
    full = {**PATCH_SET, "approvals": [approval], "files": [file]}
    label = {"label": "str", "status": "str", "by": ACCOUNT}
    assert shape(row) == {
        **CHANGE,
        **told,
        "comments": [{"timestamp": "int", "reviewer": ACCOUNT, "message": "str"}],
        "currentPatchSet": full,
        "patchSets": [full],
        "submitRecords": [{"status": "str", "labels": [label]}],
    }
    assert (row["open"], row["status"], row["number"]) == (True, "NEW", int(change.number))
    assert [file["file"] for file in row["currentPatchSet"]["files"]] == ["/COMMIT_MSG", "a"]
    assert [comment["message"] for comment in row["comments"]] == site.messages(change)


def test_without_options_a_query_answers_the_change_alone(site: GerritSite, client: GerritClient, project: str) -> None:
    row = one(client, push(site, project), options="")
    expected = {**CHANGE, "open": "bool", "lastUpdated": "int", "hashtags": []}
    del expected["commitMessage"]
    assert shape(row) == expected


def test_files_are_those_of_each_patch_set(site: GerritSite, client: GerritClient, project: str) -> None:
    change = site.push_change(project, "master", {"a b": "1\n", "sub/ü": "1\n"}, "First")
    site.push_patch_set(change, {"README": None, "a b": "1\n2\n"})
    row = one(client, change)
    files = [
        [(file["file"], file["type"], file["insertions"], file["deletions"]) for file in patch_set["files"][1:]]
        for patch_set in row["patchSets"]
    ]
    assert files == [
        [("a b", "ADDED", 1, 0), ("sub/ü", "ADDED", 1, 0)],
        [("README", "DELETED", 0, -1), ("a b", "ADDED", 2, 0)],
    ]
    assert row["currentPatchSet"]["files"] == row["patchSets"][1]["files"]


def test_submit_records_say_what_is_missing(site: GerritSite, client: GerritClient, project: str) -> None:
    def records() -> tuple[str, dict[str, str]]:
        (record,) = one(client, change, "--submit-records")["submitRecords"]
        return record["status"], {label["label"]: label["status"] for label in record["labels"]}

    change = push(site, project)
    assert records() == ("NOT_READY", {"Code-Review": "NEED", "Verified": "NEED", "Approved": "MAY"})
    site.vote(change, "Code-Review", 2)
    site.vote(change, "Verified", -2, "zuul")
    assert records() == ("NOT_READY", {"Code-Review": "OK", "Verified": "REJECT", "Approved": "MAY"})
    site.vote(change, "Verified", 2, "zuul")
    assert records() == ("OK", {"Code-Review": "OK", "Verified": "OK", "Approved": "MAY"})


def test_dependencies_are_seen_from_both_sides(site: GerritSite, client: GerritClient, project: str) -> None:
    below = push(site, project, "a")
    above = push(site, project, "b", parent=below.revision)
    row = one(client, below)
    assert "dependsOn" not in row
    assert row["neededBy"] == [
        {"id": above.change_id, "number": int(above.number), "revision": above.revision, "ref": above.ref}
    ]
    depends = {"id": below.change_id, "number": int(below.number), "revision": below.revision, "ref": below.ref}
    row = one(client, above)
    assert "neededBy" not in row
    assert row["dependsOn"] == [{**depends, "isCurrentPatchSet": True}]

    newer = site.push_patch_set(below, {"a": "2\n"})
    assert one(client, above)["dependsOn"] == [{**depends, "isCurrentPatchSet": False}]
    assert "neededBy" not in one(client, newer)


def test_a_merged_change_is_still_a_dependency(site: GerritSite, client: GerritClient, project: str) -> None:
    below = push(site, project, "a")
    above = push(site, project, "b", parent=below.revision)
    site.merge_by_hand(below)
    assert [entry["number"] for entry in one(client, above)["dependsOn"]] == [int(below.number)]
    assert [entry["number"] for entry in one(client, below)["neededBy"]] == [int(above.number)]


def test_changes_are_found_by_what_people_name(site: GerritSite, client: GerritClient, project: str) -> None:
    first = push(site, project, "a")
    second = site.push_change(
        project, "master", {"b": "b\n"}, f"Add b\n\nDepends-On: {first.change_id}", username="ben"
    )
    site.abandon(second, "ben")

    def found(query: str) -> set[str]:
        *rows, statistics = client.query(f"project:{project} {query}")
        assert (statistics["type"], statistics["rowCount"], statistics["moreChanges"]) == ("stats", len(rows), False)
        return {str(row["number"]) for row in rows}

    assert found("") == {first.number, second.number}
    assert found(f"change:{first.change_id}") == {first.number}
    assert found(f"change:{second.number}") == {second.number}
    assert found(f"message:{first.change_id}") == {first.number, second.number}
    assert found(f"message:{first.change_id} NOT change:{first.change_id}") == {second.number}
    assert found('"message:{Add b}"') == {second.number}
    assert found("status:open") == found("is:open") == found("status:new") == {first.number}
    assert found("status:abandoned") == found("is:closed") == {second.number}
    assert found("owner:ben") == {second.number}
    assert found("branch:master") == {first.number, second.number}
    assert found("branch:stable") == found("status:merged") == set()
    assert found(f"commit:{second.revision}") == {second.number}
    assert found("(status:open owner:ben) OR status:abandoned") >= {second.number}


def test_an_answer_comes_in_pages_the_last_touched_first(site: GerritSite, client: GerritClient, project: str) -> None:
    changes = [push(site, project, name) for name in ("a", "b", "c")]

    def page(start: int) -> tuple[list[str], bool]:
        *rows, statistics = client.query(f"project:{project} limit:2 -S {start}")
        return [str(row["number"]) for row in rows], statistics["moreChanges"]

    first, is_more = page(0)
    assert is_more
    second, is_more = page(2)
    assert not is_more
    assert sorted(first + second) == sorted(change.number for change in changes)
    assert (len(first), len(second)) == (2, 1)


def test_what_is_unknown_has_no_rows_and_what_is_wrong_says_so(client: GerritClient) -> None:
    assert [row["type"] for row in client.query("987654321")] == ["stats"]
    assert client.query("foo:bar") == [{"type": "error", "message": "Unsupported operator foo:bar"}]
    assert client.query("limit:x") == [{"type": "error", "message": "Invalid limit: x"}]
    for command, text in {
        "gerrit query --format json": 'fatal: Argument "QUERY" is required\n',
        "gerrit query --format json --nosuch 1": 'fatal: "--nosuch" is not a valid option\n',
        "gerrit query --format xml 1": 'fatal: "xml" is not a valid value for "--format"\n',
        "gerrit nosuch": "fatal: gerrit: nosuch: not found\n",
        "nosuch": "fatal: Gerrit Code Review: nosuch: not found\n",
    }.items():
        finished = client.run(command)
        assert (finished.returncode, finished.stdout, finished.stderr.rstrip("\n")) == (1, "", text.rstrip("\n"))


def test_the_version_is_told(client: GerritClient) -> None:
    assert client.run("gerrit version").stdout.startswith("gerrit version ")
