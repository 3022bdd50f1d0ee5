"""What has happened, as lines for people: from an event of Gerrit, and from two states of the page. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
GATE_USER = "zuul"
_HEADING = re.compile(r"^Patch Set \d+:[ \n]*")


@dataclass(frozen=True)
class Landing:
    """A change that Gerrit has submitted."""

    number: str
    project: str
    revision: str  # head of its branch from then on


def landing(event: Document) -> Landing | None:
    """What a `change-merged` event of Gerrit tells; None: it is another event."""
    if event.get("type") != "change-merged":
        return None
    change = event["change"]
    return Landing(str(change["number"]), change["project"], event["newRev"])


def said(event: Document) -> str | None:
    """An event of Gerrit as a line; None: it is not worth one."""
    change = event.get("change", {})
    id = f"{change.get('number')},{event.get('patchSet', {}).get('number')}"
    match event.get("type"):
        case "patchset-created":
            return f"{id} {change['project']}: {_who(event, 'uploader')} uploads “{change['subject']}”"
        case "comment-added":
            return f"{id} {change['project']}: {_who(event, 'author')} says “{first_words(event['comment'])}”"
        case "change-merged":
            return f"{id} {change['project']}: MERGED"
        case _:
            return None


def _who(event: Document, role: str) -> str:
    return str(event[role].get("username") or event[role].get("name"))


def first_words(comment: str) -> str:
    """The votes and the first line of a comment on a change."""
    votes, _, rest = comment.partition("\n\n")
    cast = [word for word in _HEADING.sub("", votes + " ").split() if not word.startswith("-")]  # "-Label": taken back
    return "; ".join(part for part in (" ".join(cast), rest.split("\n")[0].strip()) if part)


def reason(comment: str) -> str:
    """Why a change was turned down, from the gate's comment: what it says first, and what it lists as not good."""
    _, _, rest = comment.partition("\n\n")
    first, *more = [line.strip() for line in rest.split("\n") if line.strip()] or [""]
    # "- URL : FAILURE in 3s" of a job; "- hello.sh" of a conflict
    listed = [line.removeprefix("- ") for line in more if line.startswith("- ") and " : SUCCESS" not in line]
    named = [_job(line) for line in listed]
    return f"{first} {', '.join(named)}".strip()


def _job(line: str) -> str:
    address, separator, result = line.partition(" : ")
    parts = address.rstrip("/").split("/")
    return f"{parts[-2]}: {result}" if separator and len(parts) > 1 else line


def items(status: Document | None) -> Iterator[tuple[str, Document]]:
    """(pipeline, live item), in the order of the page."""
    for pipeline in (status or {}).get("pipelines", ()):
        for queue in pipeline["change_queues"]:
            for head in queue["heads"]:
                for item in head:
                    if item["live"]:
                        yield pipeline["name"], item


def is_building(item: Document) -> bool:
    return any(job["start_time"] is not None and job["result"] is None for job in item["jobs"])


def news(before: Document | None, after: Document | None) -> list[str]:
    """What is to be seen at the second state of the page that was not at the first."""
    old = {(pipeline, item["id"]): item for pipeline, item in items(before)}
    lines: list[str] = []
    for pipeline, item in items(after):
        known = old.get((pipeline, item["id"]))
        lines += [f"{item['id']} {item['project']}: {line}" for line in _of_item(pipeline, known, item)]
    return lines


def _of_item(pipeline: str, old: Document | None, new: Document) -> Iterator[str]:
    ahead = f"on top of {new['item_ahead']}" if new["item_ahead"] else "at the head"
    if old is None:
        yield f"enters {pipeline}" + (f" {ahead}" if pipeline == "gate" else "")
    elif old["item_ahead"] != new["item_ahead"] and old["zuul_ref"] != new["zuul_ref"]:
        yield f"its builds are stopped, it is tested again {ahead}"
    if is_building(new) and not (old and is_building(old) and old["zuul_ref"] == new["zuul_ref"]):
        yield f"is built in {pipeline}" + (f" {ahead}" if pipeline == "gate" else "")
    if new["failing_reasons"] and new["failing_reasons"] != (old["failing_reasons"] if old else []):
        yield f"fails: {', '.join(new['failing_reasons'])}"
    results = {job["name"]: job["result"] for job in old["jobs"]} if old else {}
    for job in new["jobs"]:
        if job["result"] not in (None, "SKIPPED", results.get(job["name"])):
            yield f"{job['name']} in {pipeline}: {job['result']}"
