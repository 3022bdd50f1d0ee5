"""Behaviour 10.10 at the size of a busy morning: two hundred live items, and a layout that changed."""

from collections import Counter

from support import gate_layouts
from support.player import APPROVAL, Player

from zuul_launcher.model.layout import JobNode, Layout
from zuul_launcher.sim.world import PlayedBuild, PlayedChange

GATED, CHECKED, SIDE = 60, 130, 10


def busy() -> Layout:
    """P is gated without a limit, and its jobs hold nobody back."""
    layout = gate_layouts.scenario_layout(window=gate_layouts.Window(start=0))
    return gate_layouts.with_job(layout, "P-m", hold_following_changes=False)


def changed(layout: Layout) -> Layout:
    """P-t2 is gone and P-new has come, check is asked for by other events, P2 is not known any more."""
    tree = JobNode("P-m", (JobNode("P-t1"), JobNode("P-new")))
    layout = gate_layouts.with_tree(layout, "P", tree)
    layout = gate_layouts.with_pipeline(layout, "check", triggers=(gate_layouts.trigger("change-restored"),))
    return gate_layouts.without_project(gate_layouts.with_job(layout, "P-t1", voting=False), "P2")


def filled() -> tuple[Player, list[PlayedChange]]:
    """A gate of changes, every other one on top of the one before it; P and P2 in check. The builds of P-m that are
    on an even change have passed, so that its tests run."""
    play = Player(busy())
    gated: list[PlayedChange] = []
    for number in range(GATED):
        needs = (gated[-1].id,) if number % 2 else ()
        gated.append(play.upload("P", depends=needs, approved=True))
    checked = [play.upload("P") for _ in range(CHECKED)]
    checked += [play.upload("P2") for _ in range(SIDE)]
    for change in gated:
        play.send(play.world.tell(change.number, "comment-added", play.tick(), votes=APPROVAL))
    for change in checked:
        play.send(play.world.tell(change.number, "patchset-created", play.tick()))
    play.settle()
    for uuid in play.world.running():
        build = play.world.builds[uuid]
        if build.payload.job == "P-m" and int(build.changes.split()[-1].split(",")[0]) % 2 == 0:
            play.finish(uuid, "SUCCESS")
    play.settle()
    return play, gated


def running(play: Player) -> dict[str, PlayedBuild]:
    return {uuid: build for uuid, build in play.world.builds.items() if not build.ended}


def places(play: Player) -> dict[str, str | None]:
    """Who is tested on top of whom."""
    return {item.id: item.ahead for item in play.state.items.values()}


def test_builds_of_jobs_that_remain_go_on_and_all_others_are_cancelled() -> None:
    play, gated = filled()
    assert sum(item.live for item in play.state.items.values()) == 200
    before, stood, queue = running(play), places(play), play.queued()
    assert Counter(build.payload.job for build in before.values()) == {
        "P-m": 95, "P-t1": 95, "P-t2": 95, "P2-m": SIDE
    }  # fmt: skip

    play.load(changed(play.layout))

    kept = {uuid for uuid, build in before.items() if build.payload.job in ("P-m", "P-t1")}
    after = running(play)
    assert set(before) & set(after) == kept
    assert Counter(after[uuid].payload.job for uuid in set(after) - kept) == {"P-new": 95}
    assert all(play.world.builds[uuid].cancelled for uuid in set(before) - kept)
    assert {item: ahead for item, ahead in stood.items() if item in play.state.items} == places(play)
    assert sum(item.live for item in play.state.items.values()) == 200 - SIDE
    assert play.queued() == queue == [[change.id for change in gated]]

    play.drain()
    assert play.landed() == [change.number for change in gated]
    assert play.closed().count("reported success") == CHECKED
    assert len([build for build in play.world.builds.values() if build.payload.job == "P-m"]) == GATED + CHECKED
    play.check_the_end()


def test_the_same_layout_again_changes_nothing_at_all() -> None:
    play, _ = filled()
    before, stood = running(play), places(play)
    for _ in range(3):
        play.load(play.layout)
    assert running(play) == before
    assert places(play) == stood


def test_what_failed_before_is_still_behind_nobody() -> None:
    """A failed change in the middle keeps its place; those behind it are tested without it, before and after."""
    play, gated = filled()
    play.release("P-t1", on=" ".join(change.id for change in gated[:20]), result="FAILURE")
    failed = play.item_of(gated[19])
    stood = places(play)
    assert failed.id not in stood.values()
    before = running(play)

    play.load(gate_layouts.with_tree(play.layout, "P", JobNode("P-m", (JobNode("P-t1"),))))

    assert places(play) == stood
    assert set(running(play)) == {uuid for uuid, build in before.items() if build.payload.job != "P-t2"}
    play.drain()
    assert play.landed() == [change.number for change in gated if change != gated[19]]
