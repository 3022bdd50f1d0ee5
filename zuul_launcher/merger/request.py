"""What the scheduler asks of a merger and what it is told, as the JSON of merger:merge and merger:update."""

from typing import Any

import msgspec

from zuul_launcher.errors import RequestError


class MergeItem(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a merge request; the same keys as Zuul v2."""

    project: str
    url: str
    connection_name: str = ""
    merge_mode: int = 2  # 1 merge, 2 merge -s resolve, 3 cherry-pick
    refspec: str
    branch: str
    ref: str  # Z and hex digits: under this name the merged state is published
    number: str | int | None = None
    patchset: str | int | None = None

    @property
    def title(self) -> str:
        """How messages call the change."""
        return f"change {self.number},{self.patchset}" if self.number else self.refspec


class MergeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Argument of merger:merge: items oldest first, the last is the one to test."""

    items: list[MergeItem]


class UpdateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Argument of merger:update. More keys (ref, newrev) may be there: all branches and tags are fetched."""

    project: str
    url: str
    connection_name: str = ""


class MergeReply(msgspec.Struct, frozen=True, kw_only=True):
    """Result of merger:merge. `error` is null unless something other than a conflict stood in the way."""

    merged: bool
    zuul_url: str
    commit: str | None = None
    conflicts: list[str] = []
    error: str | None = None


class UpdateReply(msgspec.Struct, frozen=True, kw_only=True):
    """Result of merger:update."""

    updated: bool
    zuul_url: str
    error: str | None = None


def decode_merge(arguments: bytes) -> MergeRequest:
    """The request, or RequestError that says what is wrong with it."""
    request = _decode(arguments, MergeRequest)
    assert isinstance(request, MergeRequest)
    if not request.items:
        raise RequestError("the request has no items")
    return request


def decode_update(arguments: bytes) -> UpdateRequest:
    """The request, or RequestError that says what is wrong with it."""
    request = _decode(arguments, UpdateRequest)
    assert isinstance(request, UpdateRequest)
    return request


def _decode(arguments: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(arguments, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the request is malformed: {error}") from None
