"""Which commit each project is to have, decided from what was asked and from which branches there are.

1. A revision asked for, of the Zuul project: nothing else will do.
2. The Zuul ref of the indicated branch: the project's own branch, else the branch for all, else the Zuul branch.
3. The Zuul ref of the fallback branch: the indicated branch if origin has it, else master.
4. The tip of the fallback branch.

A Zuul ref is that of a branch by its name, refs/zuul/BRANCH/Z…. Without a Zuul branch (timer, updated ref) there is no
such ref, and what counts is the tip.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

MASTER = "master"
_ZUUL_REFS = "refs/zuul/"


@dataclass(frozen=True)
class Request:
    """What the caller gave; "" stands for what was not given."""

    base_url: str
    branch: str = ""
    project_branches: Mapping[str, str] = field(default_factory=dict)
    zuul_branch: str = ""
    zuul_ref: str = ""
    zuul_url: str = ""
    zuul_project: str = ""
    zuul_newrev: str = ""


@dataclass(frozen=True)
class Revision:
    """Fetch a ref, if one is named, and check out this commit. There is no other attempt."""

    url: str
    ref: str
    commit: str


@dataclass(frozen=True)
class Ref:
    """Fetch a ref and check it out, unless it does not exist."""

    url: str
    ref: str


@dataclass(frozen=True)
class Tip:
    """Check out what origin has as this branch, unless it has none."""

    branch: str


Attempt = Revision | Ref | Tip


def origin_url(request: Request, project: str) -> str:
    """Where a project comes from: the Zuul project from the merger, all others from the git server."""
    at_merger = project == request.zuul_project and request.zuul_url
    return _join(request.zuul_url if at_merger else request.base_url, project)


def attempts(request: Request, project: str, branches: Collection[str]) -> list[Attempt]:
    """What to try for a project, in this order, when origin has these branches."""
    if request.zuul_newrev and project == request.zuul_project:
        return [Revision(_source(request, project, request.zuul_ref), request.zuul_ref, request.zuul_newrev)]
    indicated = indicated_branch(request, project)
    fallback = indicated if indicated in branches else MASTER
    refs: list[str] = []
    if request.zuul_ref and request.zuul_branch:
        refs = [_ref_of(request, branch) for branch in (indicated, fallback)]
    return [*(Ref(_source(request, project, ref), ref) for ref in dict.fromkeys(refs)), Tip(fallback)]


def indicated_branch(request: Request, project: str) -> str:
    """The branch that is wanted of a project, or "" when none is."""
    return request.project_branches.get(project) or request.branch or request.zuul_branch


def _ref_of(request: Request, branch: str) -> str:
    prefix = f"{_ZUUL_REFS}{request.zuul_branch}/"
    if not request.zuul_ref.startswith(prefix):
        return request.zuul_ref
    return f"{_ZUUL_REFS}{branch}/{request.zuul_ref.removeprefix(prefix)}"


def _source(request: Request, project: str, ref: str) -> str:
    if ref.startswith(_ZUUL_REFS):
        return _join(request.zuul_url, project)
    return origin_url(request, project)


def _join(base: str, project: str) -> str:
    return f"{base.rstrip('/')}/{project}"
