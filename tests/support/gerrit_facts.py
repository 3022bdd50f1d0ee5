"""Short words for tests of a Gerrit, and the shapes of what it says."""

from typing import Any

from support.gerrit_client import GerritClient

from zuul_launcher.sim.gerrit.site import GerritSite, Pushed

ONE_CHANGE = (
    "--all-approvals --comments --commit-message --current-patch-set --dependencies --files --patch-sets"
    " --submit-records"
)
ZEROS = "0" * 40
FAILED = "fatal: one or more reviews failed; review output above"


def push(site: GerritSite, project: str, name: str = "a", **more: Any) -> Pushed:
    return site.push_change(project, "master", {name: f"{name}\n"}, f"Add {name}", **more)


def approve(site: GerritSite, change: Pushed) -> None:
    site.vote(change, "Code-Review", 2)
    site.vote(change, "Verified", 2, "zuul")


def one(client: GerritClient, change: Pushed, options: str = ONE_CHANGE) -> Any:
    """The row of a change; it alone answers to its number."""
    row, statistics = client.query(f"{options} {change.number}")
    assert statistics["rowCount"] == 1
    return row


def shape(value: Any) -> Any:
    """Names and types of what a record holds; of a list, its first element's."""
    match value:
        case dict():
            return {name: shape(part) for name, part in value.items()}
        case list():
            return [shape(part) for part in value[:1]]
        case _:
            return type(value).__name__


ACCOUNT = {"name": "str", "email": "str", "username": "str"}
CHANGE = {
    "project": "str",
    "branch": "str",
    "id": "str",
    "number": "int",
    "subject": "str",
    "owner": ACCOUNT,
    "url": "str",
    "commitMessage": "str",
    "createdOn": "int",
    "status": "str",
}
PATCH_SET = {
    "number": "int",
    "revision": "str",
    "parents": ["str"],
    "ref": "str",
    "uploader": ACCOUNT,
    "createdOn": "int",
    "author": ACCOUNT,
    "kind": "str",
    "sizeInsertions": "int",
    "sizeDeletions": "int",
}
OF_CHANGE = {
    "change": CHANGE,
    "patchSet": PATCH_SET,
    "project": "str",
    "refName": "str",
    "changeKey": {"id": "str"},
    "type": "str",
    "eventCreatedOn": "int",
}
