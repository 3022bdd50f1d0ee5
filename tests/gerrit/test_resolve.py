"""An event becomes facts: the change, what it needs, what needs it; asked for once each, and again when out of date."""

import json
import time
from collections.abc import Callable

import pytest

from zuul_launcher.gerrit import closure, parse
from zuul_launcher.gerrit.closure import DependencyCycle, TooManyDependencies
from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.resolve import Resolver, lag
from zuul_launcher.gerrit.ssh import Commands, Finished
from zuul_launcher.model.change import Account, Approval, Change
from zuul_launcher.model.events import Trigger
from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

NOW = 1_800_000_000.0


class World:
    """Pushes changes to one project, and asks about them."""

    def __init__(self, site: SimGerrit, commands: Commands) -> None:
        self.site = site
        self.waits: list[float] = []
        self.resolver = Resolver(
            Query(commands.run),
            "gerrit",
            base_url="http://review",
            clock=lambda: NOW,
            wait=self.waits.append,
            pauses=(1.0, 2.0),
        )
        site.create_project("p")

    def push(
        self, name: str, on: Pushed | None = None, needs: tuple[Pushed, ...] = (), branch: str = "master"
    ) -> Pushed:
        message = f"Add {name}\n\n" + "".join(f"Depends-On: {each.change_id}\n" for each in needs)
        return self.site.push_change("p", branch, {name: name}, message, parent=on.revision if on else "")

    def amend(self, change: Pushed, needs: tuple[Pushed, ...] = ()) -> Pushed:
        footers = "".join(f"Depends-On: {each.change_id}\n" for each in needs)
        return self.site.push_patch_set(change, {}, message=f"Amended {time.monotonic_ns()}\n\n{footers}")

    def facts(self, change: Pushed) -> dict[str, Change]:
        found = self.resolver.change(change.number, change.patch_set)
        assert found is not None
        key, facts = found
        assert key == f"gerrit:{change.id}" == facts[0].key
        return {fact.id: fact for fact in facts}

    def asked(self) -> list[str]:
        """What was looked for, without the options."""
        return [command.rpartition(" ")[2] for command in self.site.faults.said if " query " in command]


@pytest.fixture
def world(site: SimGerrit, commands: Commands) -> World:
    return World(site, commands)


def keys(*changes: Pushed) -> tuple[str, ...]:
    return tuple(f"gerrit:{change.id}" for change in changes)


def test_a_stack_is_found_from_each_of_its_changes(world: World) -> None:
    a = world.push("a")
    b = world.push("b", on=a)
    c = world.push("c", on=b)
    for start in (a, b, c):
        facts = world.facts(start)
        assert facts.keys() == {a.id, b.id, c.id}
        assert [facts[each.id].needs for each in (a, b, c)] == [(), keys(a), keys(b)]
        assert [facts[each.id].needed_by for each in (a, b, c)] == [keys(b), keys(c), ()]


def test_footers_need_every_open_change_of_that_id_on_any_branch_in_order(world: World) -> None:
    world.site.create_branch("p", "stable")
    one = world.push("one")
    other = world.site.push_change("p", "stable", {"x": "x"}, "Other", change_id=one.change_id)
    gone = world.site.push_change("p", "stable", {"y": "y"}, "Gone")
    last = world.push("last")
    world.site.abandon(gone)
    change = world.push("change", needs=(last, one, gone))
    facts = world.facts(change)
    assert facts[change.id].needs[0] == keys(last)[0]
    assert set(facts[change.id].needs[1:]) == set(keys(one, other))
    assert facts.keys() == {change.id, last.id, one.id, other.id}
    assert all(facts[each.id].needed_by == keys(change) for each in (one, other, last))


def test_merged_parents_are_not_needed_and_theirs_are_never_asked_for(world: World) -> None:
    m2 = world.push("m2")
    m1 = world.push("m1", on=m2)
    for each in (m2, m1):
        world.site.merge_by_hand(each)
    a = world.push("a", on=m1)
    b = world.push("b", on=a)
    facts = world.facts(b)
    assert facts.keys() == {a.id, b.id}
    assert facts[a.id].needs == ()
    assert m1.number in world.asked()
    assert m2.number not in world.asked()


def test_each_change_and_each_id_is_asked_for_once(world: World) -> None:
    a = world.push("a")
    b = world.push("b", on=a, needs=(a,))
    c = world.push("c", on=a, needs=(a, b))
    world.facts(b)
    asked = world.asked()
    assert len(asked) == len(set(asked))
    assert {a.number, b.number, c.number} < set(asked)


def test_an_abandoned_parent_counts_and_an_abandoned_child_does_not(world: World) -> None:
    a = world.push("a")
    b = world.push("b", on=a)
    c = world.push("c", on=b)
    d = world.push("d", needs=(b,))
    for each in (a, c, d):
        world.site.abandon(each)
    facts = world.facts(b)
    assert facts.keys() == {a.id, b.id}
    assert facts[b.id].needs == keys(a)
    assert not facts[a.id].open


def test_a_child_on_an_old_patch_set_needs_that_one(world: World) -> None:
    a = world.push("a")
    b = world.push("b", on=a)
    a2 = world.amend(a)
    facts = world.facts(b)
    assert facts[b.id].needs == keys(a)
    assert (facts[a.id].current, facts[a.id].ref) == (False, a.ref)
    assert world.facts(a2)[a2.id].current


def test_only_the_current_patch_set_needs_what_its_message_says(world: World) -> None:
    a, b = world.push("a"), world.push("b")
    c = world.push("c", needs=(a,))
    c2 = world.amend(c, needs=(b,))
    assert world.facts(a).keys() == {a.id}
    assert world.facts(b)[b.id].needed_by == keys(c2)


def test_a_cycle_is_refused_with_its_path_and_cured_by_a_new_patch_set(world: World) -> None:
    a = world.push("a")
    b = world.push("b", needs=(a,))
    a2 = world.amend(a, needs=(b,))
    for start, path in ((a2, f"{a.number}, {b.number}"), (b, f"{b.number}, {a.number}")):
        with pytest.raises(DependencyCycle) as refused:
            world.facts(start)
        first, second = path.split(", ")
        assert str(refused.value) in (
            f"Dependency cycle detected: {first} in [{path}]",
            f"Dependency cycle detected: {second} in [{second}, {first}]",
        )
    a3 = world.amend(a2)
    assert world.facts(b)[b.id].needs == keys(a3)


def test_a_change_that_needs_itself_is_a_cycle(world: World) -> None:
    change = world.push("a")
    with pytest.raises(DependencyCycle, match="Dependency cycle detected: 1 in \\[1\\]"):
        world.facts(world.amend(change, needs=(change,)))


def test_nobody_can_hold_up_a_change_by_a_cycle_that_needs_it(world: World) -> None:
    a = world.push("a")
    b = world.push("b", needs=(a,))
    c = world.push("c", needs=(b,))
    good = world.push("good", on=a)
    world.amend(b, needs=(a, c))
    facts = world.facts(a)
    assert facts[a.id].needed_by == keys(good)
    assert facts.keys() == {a.id, good.id}


def test_too_many_footers_are_refused_and_hold_up_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closure, "MOST_FOOTERS", 2)
    needed = [world.push(name) for name in "abc"]
    change = world.push("many", needs=tuple(needed))
    with pytest.raises(TooManyDependencies):
        world.facts(change)
    assert world.facts(needed[0])[needed[0].id].needed_by == ()


def test_too_many_changes_below_are_refused_and_above_are_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closure, "MOST_CHANGES", 3)
    stack = [world.push("0")]
    for number in range(1, 5):
        stack.append(world.push(str(number), on=stack[-1]))
    with pytest.raises(TooManyDependencies):
        world.facts(stack[-1])
    assert world.facts(stack[0]).keys() == {each.id for each in stack[:3]}


def test_a_change_that_gerrit_does_not_know_is_none(world: World) -> None:
    assert world.resolver.change("99", "1") is None
    change = world.push("a")
    assert world.resolver.change(change.number, "2") is None


def test_refreshing_leaves_out_what_makes_no_sense(world: World) -> None:
    a, b, good = world.push("a"), world.push("b"), world.push("good")
    a2, b2 = world.amend(a, needs=(b,)), world.amend(b, needs=(a,))
    asked = (*keys(a2, good, b2), "gerrit:99,1", "other:1,1", "gerrit:p refs/heads/master abc")
    assert [fact.id for fact in world.resolver.refresh(asked)] == [good.id]


# Events


def event(change: Pushed, kind: str = "comment-added", **more: object) -> Trigger:
    values = {"connection": "gerrit", "project": "p", "branch": "master", "number": change.number}
    return Trigger(**{**values, "type": kind, "patchset": change.patch_set, **more})


def test_an_event_of_a_change_brings_its_facts(world: World) -> None:
    change = world.push("a")
    triggered = world.resolver.resolve(event(change, "patchset-created"), NOW - 1)
    assert triggered is not None
    assert (triggered.at, triggered.subject) == (NOW - 1, f"gerrit:{change.id}")
    assert [fact.key for fact in triggered.facts] == [triggered.subject]
    assert world.waits == []


def test_an_event_of_a_ref_asks_nothing(world: World) -> None:
    update = Trigger(
        connection="gerrit", type="ref-updated", project="p", ref="master", oldrev="0" * 40, newrev="a" * 40
    )
    triggered = world.resolver.resolve(update, NOW)
    assert triggered is not None
    assert [fact.key for fact in triggered.facts] == [triggered.subject] == [f"gerrit:p master {'a' * 40}"]
    assert world.asked() == []


def test_an_event_of_neither_is_none(world: World) -> None:
    assert world.resolver.resolve(Trigger(connection="gerrit", type="project-created", project="p"), NOW) is None


def test_an_event_without_a_patch_set_is_about_the_current_one(world: World) -> None:
    change = world.amend(world.push("a"))
    triggered = world.resolver.resolve(event(change, "topic-changed", patchset=None), NOW)
    assert triggered is not None
    assert triggered.subject == f"gerrit:{change.id}"


def test_event_delay_counts_from_the_arrival(world: World) -> None:
    change = world.push("a")
    world.resolver._event_delay = 10
    world.resolver.resolve(event(change), NOW - 3)
    world.resolver.resolve(event(change), NOW - 30)
    assert world.waits == [7]


def lagging(run: Callable[[str], Finished], *, answers: int) -> Callable[[str], Finished]:
    """The index answers with the statistics row alone at first."""
    left = [answers]

    def late(command: str) -> Finished:
        finished = run(command)
        left[0] -= 1
        return finished if left[0] < 0 else Finished(finished.stdout.splitlines()[-1], "", 0)

    return late


@pytest.mark.parametrize(("answers", "waits"), [(1, [1.0]), (2, [1.0, 2.0])])
def test_a_change_that_the_index_does_not_have_yet_is_asked_for_again(
    world: World, commands: Commands, answers: int, waits: list[float]
) -> None:
    change = world.push("a")
    world.resolver._query = Query(lagging(commands.run, answers=answers))
    triggered = world.resolver.resolve(event(change), NOW)
    assert triggered is not None
    assert world.waits == waits


def test_after_the_last_time_a_change_that_is_not_there_is_none(world: World) -> None:
    nowhere = Trigger(connection="gerrit", type="comment-added", project="p", number="99", patchset="1")
    assert world.resolver.resolve(nowhere, NOW) is None
    assert world.waits == [1.0, 2.0]


ANN = Account(name="Ann", email="ann@example.com", username="ann")


def answer(**more: object) -> dict[str, object]:
    vote = {"type": "Code-Review", "value": "2", "by": {"username": "ann"}}
    patch_sets = [
        {"number": "1", "ref": "refs/changes/07/7/1"},
        {"number": "2", "ref": "refs/changes/07/7/2", "approvals": [vote]},
    ]
    return {
        "number": "7",
        "project": "p",
        "branch": "b",
        "status": "NEW",
        "lastUpdated": "100",
        "patchSets": patch_sets,
        **more,
    }


@pytest.mark.parametrize(
    ("event_fields", "answer_fields", "lacks"),
    [
        ({"type": "patchset-created", "patchset": "2"}, {}, ""),
        ({"type": "patchset-created", "patchset": "1"}, {}, ""),
        ({"type": "patchset-created", "patchset": "3"}, {}, "patch set 3"),
        ({"type": "change-merged", "patchset": "2"}, {"status": "MERGED"}, ""),
        ({"type": "change-merged", "patchset": "2"}, {}, "status"),
        ({"type": "change-restored", "patchset": "2"}, {"status": "ABANDONED"}, "status"),
        ({"type": "change-restored", "created_on": 99}, {"status": "ABANDONED"}, ""),
        ({"approvals": (("Code-Review", 2),)}, {}, ""),
        ({"approvals": (("Code-Review", 0), ("Other", 0))}, {}, ""),
        ({"approvals": (("Code-Review", 1),)}, {}, "Code-Review"),
        ({"approvals": (("Verified", 1),), "created_on": 100}, {}, "Verified"),
        ({"approvals": (("Verified", 1),), "created_on": 99}, {}, ""),
        ({"approvals": (("Verified", 1),), "patchset": "1"}, {}, ""),
        ({"approvals": (("Code-Review", 2),), "account": Account(username="ben")}, {}, "Code-Review"),
    ],
)
def test_an_answer_is_older_than_the_event_if_it_lacks_what_that_says(
    event_fields: dict[str, object], answer_fields: dict[str, object], lacks: str
) -> None:
    votes = event_fields.get("approvals", ())
    assert isinstance(votes, tuple)
    fields = {"type": "comment-added", "patchset": "2", "account": ANN, **event_fields}
    fields["approvals"] = tuple(Approval(label=label, value=value) for label, value in votes)
    trigger = Trigger(connection="gerrit", project="p", number="7", **fields)
    why = lag(trigger, answer(**answer_fields))
    assert lacks in why
    assert bool(why) == bool(lacks)


def test_events_that_the_stand_in_sends_are_never_older_than_its_answers(world: World, site: SimGerrit) -> None:
    lines: list[str] = []
    site._state.listeners.append(Listener(lines))
    change = world.push("a")
    site.vote(change, "Code-Review", 2)
    site.vote(change, "Code-Review", -1)
    site.abandon(change)
    site.restore(change)
    site.merge_by_hand(world.amend(change))
    for line in lines:
        trigger = parse.trigger(line.encode(), "gerrit")
        assert world.resolver.resolve(trigger, NOW)
    assert json.loads(lines[0])["type"]
    assert len(lines) > 6


class Listener:
    """A queue of the stand-in's that keeps what is put."""

    def __init__(self, lines: list[str]) -> None:
        self.put = lambda line: lines.append(line)
