"""Merged states leave when they are old, and only then."""

import json
from collections.abc import Callable
from typing import Any

from support.git_world import Upstream, git

from zuul_launcher.merger.expire import sort_out, sweep
from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.worker import Upkeep

DAY = 86400.0


def test_a_ref_counts_from_when_it_was_first_seen() -> None:
    expired, seen = sort_out(["new", "old", "exactly"], {"old": 10.0, "exactly": 20.0, "gone": 1.0}, 120.0, 100.0)
    assert expired == ["old"]
    assert seen == {"new": 120.0, "exactly": 20.0}


def test_one_sweep_removes_the_oldest_and_leaves_the_rest_to_the_next() -> None:
    refs = [f"refs/zuul/master/Z{number}" for number in range(3000)]
    seen = {ref: float(number) for number, ref in enumerate(refs)}
    expired, left = sort_out(refs, seen, 10_000.0, 1.0)
    assert expired == refs[:2000]
    assert list(left) == refs[2000:]


def test_old_states_are_removed_and_younger_ones_and_branches_stay(
    merger: Merger, ask: Callable[..., Any], upstream: Callable[..., Upstream]
) -> None:
    project = upstream()
    old, young = project.change("master", {"A": "A"}), project.change("master", {"B": "B"})
    path = merger.settings.git_dir / project.name
    ask(old)
    assert sweep(path, merger.git, 0.0, DAY) == []
    ask(young)
    assert sweep(path, merger.git, 0.5 * DAY, DAY) == []
    assert sweep(path, merger.git, 1.2 * DAY, DAY) == [f"refs/zuul/master/{old['ref']}"]
    names = git(path, "for-each-ref", "--format=%(refname)").splitlines()
    assert names == ["refs/heads/master", f"refs/zuul/master/{young['ref']}"]
    assert not (path / "refs" / "zuul").exists() or not any((path / "refs" / "zuul").rglob("Z*"))
    assert not any((path / "zuul-fetch" / "refs").rglob("master"))
    assert ask(old)["merged"]


def test_upkeep_sweeps_a_repository_at_most_once_an_hour_and_survives_a_broken_one(
    merger: Merger, ask: Callable[..., Any], upstream: Callable[..., Upstream]
) -> None:
    now = [1e9]
    upkeep = Upkeep(merger, lambda: now[0])
    good, bad = upstream("good"), upstream("bad")
    item = good.change("master", {"A": "A"})
    ask(item)
    ask(bad.change("master", {"A": "A"}))
    (merger.settings.git_dir / "bad" / "packed-refs").mkdir()
    upkeep.run()
    seen = merger.settings.git_dir / "good" / "zuul-refs.json"
    assert json.loads(seen.read_bytes()) == {f"refs/zuul/master/{item['ref']}": 1e9}
    second = good.change("master", {"B": "B"})
    ask(second)
    now[0] += 3599
    upkeep.run()
    assert len(json.loads(seen.read_bytes())) == 1
    now[0] += 1
    upkeep.run()
    assert len(json.loads(seen.read_bytes())) == 2
    assert (merger.settings.git_dir / "bad" / "packed-refs").is_dir()
