"""`scm: git` of Jenkins Job Builder -> sources: one repository, and one ref of it."""

import re
from collections.abc import Mapping
from typing import Any

from zuul_launcher.worker.definitions.jjbdraft import (
    Draft,
    Unsupported,
    entries,
    mapping,
    refuse_others,
    required,
    text,
    truth,
    with_braces,
)
from zuul_launcher.worker.definitions.jjbjob import Component
from zuul_launcher.worker.definitions.job import Git
from zuul_launcher.worker.definitions.values import what_is_wrong_with_an_inner_path

# They change how fast or how nice it is, not what is checked out.
_IGNORED = (
    "name",
    "browser",
    "browser-url",
    "browser-version",
    "depth",
    "do-not-fetch-tags",
    "fastpoll",
    "git-config-email",
    "git-config-name",
    "git-tool",
    "honor-refspec",
    "ignore-notify",
    "prune",
    "prune-tags",
    "reference-repo",
    "shallow-clone",
    "skip-tag",
    "timeout",
    "use-author",
    "wipe-workspace",
)
_SUPPORTED = ("url", "refspec", "remotes", "branches", "basedir", "clean", "submodule", "recursive-submodules")
_STRATEGIES = ("default", "gerrit")
_WHOLE = re.compile(r"[0-9a-f]{40}")
_COMMIT = re.compile(r"\$\{[A-Z_]*(COMMIT|REV|REVISION)\}")


def scm(draft: Draft, component: Component) -> None:
    if component.name != "git":
        raise Unsupported("not supported")
    if "scm" in draft.values:
        raise Unsupported("a second repository is not supported")
    data = mapping(component.data)
    refuse_others(data, (*_SUPPORTED, *_IGNORED, "choosing-strategy"))
    if text(data, "choosing-strategy", "default") not in _STRATEGIES:
        raise Unsupported(f"choosing-strategy {data['choosing-strategy']} is not supported")
    remote = _remote(data)
    ref, commit = _what(remote, data)
    folder = text(data, "basedir")
    if wrong := what_is_wrong_with_an_inner_path(folder):
        raise Unsupported(f"basedir: {wrong}")
    draft.values["scm"] = Git(
        url=with_braces(required(remote, "url")),
        ref=ref,
        commit=commit,
        clean=truth(data, "wipe-workspace", default=True) or _cleans(data),
        submodules=truth(mapping(data.get("submodule")), "recursive") or truth(data, "recursive-submodules"),
        folder=folder,
    )


def _remote(data: Mapping[str, Any]) -> Mapping[str, Any]:
    if not data.get("remotes"):
        return data
    remotes = entries(data["remotes"], "remotes")
    if len(remotes) != 1:
        raise Unsupported("more than one remote is not supported")
    remote = mapping(next(iter(mapping(remotes[0]).values()), None))
    refuse_others(remote, ("url", "refspec"))
    return remote


def _what(remote: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[str, str]:
    """Ref and commit. A ref that is fetched has the commit; otherwise the branch is both."""
    branches = [with_braces(str(one)) for one in entries(data.get("branches") or ["**"], "branches")]
    if len(branches) != 1:
        raise Unsupported("more than one branch is not supported")
    branch = branches[0]
    ref = with_braces(text(remote, "refspec")).partition(":")[0].removeprefix("+")
    if ref and "*" not in ref and " " not in ref:
        return ref, _commit(branch)
    if "*" in branch.removeprefix("*/"):
        raise Unsupported(f"the branch {branch} may be any one: it is not supported")
    if branch == "${ZUUL_COMMIT}":
        return "${ZUUL_REF}", branch
    if branch.startswith(("refs/", "${ZUUL_REF}")):
        return branch, ""
    return f"refs/heads/{re.sub(r'^([*]|origin)/', '', branch)}", ""


def _commit(branch: str) -> str:
    """Of what is fetched; empty: its tip."""
    if _COMMIT.fullmatch(branch) or _WHOLE.fullmatch(branch):
        return branch
    if branch in ("FETCH_HEAD", "*", "**") or branch.startswith("$"):
        return ""
    raise Unsupported(f"the branch {branch} beside a refspec is not supported")


def _cleans(data: Mapping[str, Any]) -> bool:
    clean = data.get("clean")
    return bool(clean) if isinstance(clean, dict) else truth(data, "clean")
