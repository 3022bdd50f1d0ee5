"""All projects of a request, one after the other: cloned or brought up to date, each on the commit it is to have."""

import logging
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from zuul_launcher.cloner.attempts import Attempt, Ref, Request, Revision, Tip, attempts, indicated_branch, origin_url
from zuul_launcher.cloner.repository import Clone, cached_repository, check_ref, hide_password
from zuul_launcher.errors import RemoteError, RequestError
from zuul_launcher.git import Git

log = logging.getLogger(__name__)


class CheckoutFailed(RequestError):
    """A project has nothing of what was asked for."""


def check_request(request: Request, git: Git) -> None:
    """RequestError, unless git allows all names of branches and refs in the request."""
    for branch in (request.branch, request.zuul_branch, *request.project_branches.values()):
        if branch:
            check_ref(git, f"refs/heads/{branch}")
    if request.zuul_ref:
        check_ref(git, request.zuul_ref)


def clone_all(
    request: Request, places: Mapping[str, PurePosixPath], workspace: Path, cache: Path | None, git: Git
) -> None:
    """Clone the projects to their places in the workspace (absolute), in this order.

    :raises RequestError: a project cannot be had as asked, or its place is taken.
    :raises RemoteError: a git server could not be asked.
    :raises GitFailed: the machine is in the way, such as a full disk.
    """
    for project, place in places.items():
        path = _free_place(workspace, place)
        clone = Clone(path, git)
        _clone_project(request, project, clone, cached_repository(cache, project) if cache else None)


def _clone_project(request: Request, project: str, clone: Clone, cached: Path | None) -> None:
    url = origin_url(request, project)
    if not clone.exists and cached:
        log.info("%s: cloning from the cache %s to %s", project, cached, clone.path)
        try:
            clone.make_from_cache(cached)
        except RemoteError as error:
            log.warning("%s: the cache is left out: %s", project, error)
    if not clone.exists:
        log.info("%s: cloning from %s to %s", project, hide_password(url), clone.path)
        clone.make(url)
    clone.remove_locks()
    clone.point_origin(url)
    branches = clone.fetch_origin(url)
    clone.reset_branches(branches)
    for attempt in attempts(request, project, branches):
        commit = _fetch(attempt, clone, branches)
        if commit:
            clone.check_out(commit)
            log.info("%s: at %s, %s", project, commit, _words(attempt))
            return
    raise CheckoutFailed(_complaint(request, project, url))


def _fetch(attempt: Attempt, clone: Clone, branches: Mapping[str, str]) -> str | None:
    match attempt:
        case Revision(url, ref, commit):
            if ref:
                clone.fetch(url, ref)
            return clone.commit(commit)
        case Ref(url, ref):
            return clone.fetch(url, ref)
        case Tip(branch):
            return branches.get(branch)


def _words(attempt: Attempt) -> str:
    match attempt:
        case Revision():
            return "the revision asked for"
        case Ref(url, ref):
            return f"{ref} of {hide_password(url)}"
        case Tip(branch):
            return f"the tip of {branch}"


def _complaint(request: Request, project: str, url: str) -> str:
    if request.zuul_newrev and project == request.zuul_project:
        return f"Failed to checkout project '{project}' at revision '{request.zuul_newrev}'"
    branch = indicated_branch(request, project)
    asked = f"neither branch '{branch}' nor" if branch and branch != "master" else "no branch"
    return f"Failed to checkout project '{project}': {hide_password(url)} has {asked} 'master'"


def _free_place(workspace: Path, place: PurePosixPath) -> Path:
    """The path of a place in the workspace; RequestError if links lead elsewhere or something else is there."""
    path = workspace / place
    real, root = path.resolve(), workspace.resolve()
    if not real.is_relative_to(root) or ".git" in real.relative_to(root).parts:
        raise RequestError(
            f"cannot clone to {path}: a link leads out of the workspace or into a repository's own files"
        )
    if path.exists() and not (path / ".git").exists() and (not path.is_dir() or any(path.iterdir())):
        raise RequestError(
            f"cannot clone to {path}: other files are there. If another project lies inside, name it after this one"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
