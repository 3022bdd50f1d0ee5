"""What a worker is told about a build, and what a merger is asked: pure, read off the state.

Source: the Zuul-Gearman protocol of Zuul 2.6. Keys come in the order of its examples. All values are text but
ZUUL_URL, which is null when the merger gave no URL.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from zuul_launcher.model.change import Change, Ref, Tick
from zuul_launcher.model.layout import Layout, MergeMode
from zuul_launcher.model.queue import Build, Item, State
from zuul_launcher.model.reading import chain, subject_of

MERGE_MODES: dict[MergeMode, int] = {"merge": 1, "merge-resolve": 2, "cherry-pick": 3}
# NUL parts arguments; line ends, tabs and blanks part the answers of the text protocol; half a character has no bytes.
_BREAKS_THE_PROTOCOL = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")


def parameters(state: State, item: Item, build: Build) -> dict[str, Any]:
    """The argument of a build job, as a flat object, before the parameter function sees it."""
    subject = subject_of(state, item)
    told: dict[str, Any] = {
        "ZUUL_UUID": build.uuid,
        "ZUUL_PROJECT": subject.project,
        "ZUUL_PIPELINE": item.pipeline,
        "ZUUL_URL": item.build_set.zuul_url,
        "ZUUL_VOTING": "1" if build.voting else "0",
    }
    if isinstance(subject, Change):
        told |= _of_change(state, item, subject)
        base = f"{subject.number[-2:]}/{subject.number}/{subject.patchset}"
    elif isinstance(subject, Ref):
        told |= _of_ref(subject)
        base = f"{subject.newrev[:2]}/{subject.newrev}"
    else:  # a timer fired: there is only a project
        base = ""
    told["BASE_LOG_PATH"] = base
    told["LOG_PATH"] = f"{base}/{item.pipeline}/{build.job}/{build.uuid[:7]}".lstrip("/")
    return told


def _of_change(state: State, item: Item, change: Change) -> dict[str, Any]:
    tested = [subject_of(state, other) for other in [*chain(state, item), item]]
    changes = [subject for subject in tested if isinstance(subject, Change)]
    return {
        "ZUUL_BRANCH": change.branch,
        "ZUUL_CHANGES": "^".join(f"{other.project}:{other.branch}:{other.ref}" for other in changes),
        "ZUUL_CHANGE_IDS": " ".join(other.id for other in changes),
        "ZUUL_CHANGE": change.number,
        "ZUUL_PATCHSET": change.patchset,
        "ZUUL_REF": f"refs/zuul/{change.branch}/{item.build_set.ref}",
        "ZUUL_COMMIT": item.build_set.commit,
    }


def _of_ref(ref: Ref) -> dict[str, Any]:
    return {
        "ZUUL_REF": ref.ref,
        "ZUUL_REFNAME": ref.ref,
        "ZUUL_OLDREV": ref.oldrev,
        "ZUUL_NEWREV": ref.newrev,
        "ZUUL_SHORT_OLDREV": ref.oldrev[:7],
        "ZUUL_SHORT_NEWREV": ref.newrev[:7],
        "ZUUL_COMMIT": ref.newrev,
    }


def function_name(job: str, told: Mapping[str, Any]) -> str:
    """`build:JOB`, or `build:JOB:NODE` where the parameters (of the parameter function, mostly) name a node."""
    node = told.get("ZUUL_NODE")
    return f"build:{job}:{node}" if node else f"build:{job}"


def unusable(function: str) -> str | None:
    """Why no such function can be asked of a Gearman server; None: it can."""
    found = _BREAKS_THE_PROTOCOL.search(function)
    return f"the function name {function!r} has the character {found.group()!r}" if found else None


def merge_request(
    state: State, layout: Layout, item: Item, urls: Mapping[str, Callable[[str], str]]
) -> tuple[str, dict[str, Any]]:
    """Function and argument of the merger job for an item; `urls` gives, by connection, the git URL of a project.

    A change: all items ahead, oldest first, then the item, each under the ref of its own build set. Else: an update.
    """
    subject = subject_of(state, item)
    if not isinstance(subject, Change):
        return "merger:update", {
            "project": subject.project,
            "connection_name": subject.connection,
            "url": urls[subject.connection](subject.project),
        }
    return "merger:merge", {"items": [_merge_item(state, layout, one, urls) for one in [*chain(state, item), item]]}


def _merge_item(state: State, layout: Layout, item: Item, urls: Mapping[str, Callable[[str], str]]) -> dict[str, Any]:
    subject = subject_of(state, item)
    project = layout.projects.get(subject.project)
    change = subject if isinstance(subject, Change) else None
    ref = subject if isinstance(subject, Ref) else None
    return {
        "project": subject.project,
        "url": urls[subject.connection](subject.project),
        "connection_name": subject.connection,
        "merge_mode": MERGE_MODES[project.merge_mode if project else "merge-resolve"],
        "refspec": None if isinstance(subject, Tick) else subject.ref,
        "branch": change.branch if change else None,
        "ref": item.build_set.ref,
        "number": change.number if change else None,
        "patchset": change.patchset if change else None,
        "oldrev": ref.oldrev if ref else None,
        "newrev": ref.newrev if ref else None,
    }
