"""One story, watched, resolved and caught up, on the stand-in and on the real Gerrit."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gerrit_shell import DEADLINE, connection
from support.waiting import wait_until

from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.catchup import missed
from zuul_launcher.gerrit.closure import DependencyCycle
from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.resolve import Resolver
from zuul_launcher.gerrit.ssh import Commands
from zuul_launcher.gerrit.watch import Watch
from zuul_launcher.model.change import Change
from zuul_launcher.model.events import Trigger
from zuul_launcher.sim.gerrit.site import GerritSite, Pushed


class Story:
    """A project of its own, all events of which are kept."""

    def __init__(self, site: GerritSite, directory: Path) -> None:
        settings = connection(site, directory)
        self.site = site
        self.project = f"story-{time.time_ns()}"
        self.commands = Commands(settings, deadline=DEADLINE)
        self.query = Query(self.commands.run)
        self.resolver = Resolver(self.query, "gerrit", base_url="http://r", clock=time.time, wait=time.sleep)
        self.triggers: list[Trigger] = []
        connected = threading.Event()
        self.watch = Watch(settings, self._keep, lambda state: connected.set(), clock=time.monotonic)
        self.thread = threading.Thread(target=self.watch.run)
        self.thread.start()
        assert connected.wait(DEADLINE)
        site.create_project(self.project, {"README": "hello\n"})

    def _keep(self, line: bytes) -> None:
        trigger = parse.trigger(line, "gerrit")
        if trigger.project == self.project:
            self.triggers.append(trigger)

    def push(self, name: str, parent: str = "", needs: str = "") -> Pushed:
        message = f"Add {name}\n\nDepends-On: {needs}\n" if needs else f"Add {name}\n"
        return self.site.push_change(self.project, "master", {name: name}, message, parent=parent)

    def wait_for(self, kind: str, change: Pushed) -> Trigger:
        def found() -> Trigger | None:
            mine = (
                t for t in self.triggers if (t.type, t.number, t.patchset) == (kind, change.number, change.patch_set)
            )
            return next(mine, None)

        return wait_until(found, what=f"{kind} of {change.id}")

    def facts(self, kind: str, change: Pushed) -> dict[str, Change]:
        triggered = self.resolver.resolve(self.wait_for(kind, change), time.time())
        assert triggered is not None
        assert triggered.subject == f"gerrit:{change.id}"
        return {fact.id: fact for fact in triggered.facts if isinstance(fact, Change)}

    def close(self) -> None:
        self.watch.stop()
        self.thread.join(DEADLINE)
        self.commands.close()


@pytest.fixture(params=["stand-in", pytest.param("real", marks=pytest.mark.gerrit)])
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    story = Story(request.getfixturevalue("site" if request.param == "stand-in" else "real_gerrit"), tmp_path)
    yield story
    story.close()


def test_events_bring_facts_that_are_not_older_than_they_are(story: Story) -> None:
    below = story.push("below")
    above = story.push("above", parent=below.revision)
    other = story.push("other", needs=below.change_id)
    facts = story.facts("patchset-created", other)
    assert facts[other.id].needs == (f"gerrit:{below.id}",)
    assert set(facts[below.id].needed_by) == {f"gerrit:{above.id}", f"gerrit:{other.id}"}
    assert facts[above.id].needs == (f"gerrit:{below.id}",)
    story.site.vote(below, "Code-Review", 2)
    voted = story.facts("comment-added", below)[below.id]
    assert [(vote.label, vote.value, vote.by.username) for vote in voted.approvals] == [("Code-Review", 2, "ann")]
    assert voted.approvals[0].granted_on > 0
    story.site.merge_by_hand(below)
    merged = story.facts("change-merged", below)
    assert merged[below.id].merged
    assert merged[below.id].submit_records
    assert "below" in merged[below.id].files
    assert story.facts("patchset-created", above)[above.id].needs == ()


def test_a_cycle_is_seen(story: Story) -> None:
    one = story.push("one")
    other = story.push("other", needs=one.change_id)
    again = story.site.push_patch_set(one, {"one": "1"}, message=f"Add one\n\nDepends-On: {other.change_id}\n")
    with pytest.raises(DependencyCycle):
        story.facts("patchset-created", again)


def test_what_is_caught_up_is_what_was_watched(story: Story) -> None:
    since = time.time()
    change = story.push("a")
    story.site.vote(change, "Code-Review", 1, "ben", "first")
    newer = story.site.push_patch_set(change, {"a": "b"})
    story.site.comment(newer, "recheck", "ben")
    gone = story.push("gone")
    story.site.abandon(gone)
    merged = story.push("merged")
    story.site.merge_by_hand(merged)
    story.wait_for("change-merged", merged)

    def caught_up() -> list[Trigger]:
        lines = missed(story.query, since)
        return [found for line in lines if (found := parse.trigger(line, "gerrit")).project == story.project]

    def told(triggers: list[Trigger]) -> list[tuple[object, ...]]:
        kinds = ("patchset-created", "comment-added", "change-abandoned", "change-merged")
        names = [(each, each.account.username if each.account else "") for each in triggers if each.type in kinds]
        return sorted((each.type, each.number, each.patchset, name, each.comment or "") for each, name in names)

    # Pushing and submitting leave comments of their own, on which Gerrit versions differ.
    wait_until(lambda: set(told(story.triggers)) <= set(told(caught_up())), what="all events in the query's answers")
    extra = {each[4] for each in told(caught_up())} - {each[4] for each in told(story.triggers)}
    assert extra == set()
    assert [
        line for line in missed(story.query, since, story.triggers) if parse.trigger(line, "").project == story.project
    ] == []
