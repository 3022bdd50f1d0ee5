"""Merged states (refs/zuul/…) that nobody can need any more are removed, and the repository is kept in shape.

A ref's age counts from the first sweep that saw it: the dates of its commit say nothing, as a fast-forward publishes
the change's own, perhaps old, commit. What was seen when is kept in a file of the repository. A sweep removes a bounded
number of refs, so that merges never wait long for it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from zuul_launcher.git import Git
from zuul_launcher.merger.place import SIDE, side_of

_FILE = "zuul-refs.json"
_BATCH = 2000
_UPKEEP_TIMEOUT = 3600.0  # seconds; repacking a large repository takes its time


def sort_out(
    refs: Sequence[str], seen: Mapping[str, float], now: float, expiry: float
) -> tuple[list[str], dict[str, float]]:
    """The refs to remove now (oldest first, at most a batch), and when each of the others was first seen."""
    first = {ref: seen.get(ref, now) for ref in refs}
    expired = sorted((ref for ref in refs if now - first[ref] > expiry), key=lambda ref: (first[ref], ref))[:_BATCH]
    for ref in expired:
        del first[ref]
    return expired, first


def sweep(git_dir: Path, git: Git, now: float, expiry: float) -> list[str]:
    """Remove merged states that are older than ``expiry`` seconds, and give their names; then pack and tidy up."""
    here = git.at(git_dir)
    refs = here.run("for-each-ref", "--format=%(refname)", "refs/zuul").lines()
    expired, first = sort_out(refs, _read(git_dir / _FILE), now, expiry)
    if expired:
        orders = "".join(f"delete {ref}\0\0" for ref in expired)
        here.run("update-ref", "--stdin", "-z", stdin=orders.encode("utf-8", "surrogateescape"))
    fresh = git_dir / f"{_FILE}.new"
    fresh.write_bytes(msgspec.json.encode(first))
    fresh.rename(git_dir / _FILE)
    here.run("pack-refs", "--all", "--prune", timeout=_UPKEEP_TIMEOUT)
    if (git_dir / SIDE).is_dir():
        side_of(git_dir, git).run("pack-refs", "--all", "--prune", timeout=_UPKEEP_TIMEOUT)
    here.with_environment(**_auto(git)).run("gc", "--auto", "--quiet", timeout=_UPKEEP_TIMEOUT)
    return expired


def _auto(git: Git) -> dict[str, str]:
    """The environment in which ``git gc --auto`` may do something: elsewhere it is switched off."""
    count = int(git.environment["GIT_CONFIG_COUNT"])
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "gc.auto",
        f"GIT_CONFIG_VALUE_{count}": "6700",
    }


def _read(file: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}  # counted again from now
