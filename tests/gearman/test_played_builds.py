"""Behaviour 10.1 and 10.6 where it names Gearman: scenarios of a gate whose builds wait, run and end on each server."""

from collections import Counter
from collections.abc import Callable

import pytest
from support import gate_layouts
from support.gearman_places import Launcher, Worker
from support.gearman_play import GearmanPlayer
from support.gearman_wire import Place

from zuul_launcher.model.events import BuildFinished, BuildProgress
from zuul_launcher.model.layout import JobNode, Layout
from zuul_launcher.model.queue import Worker as WorkerFacts

Begin = Callable[..., GearmanPlayer]
FIRST = (
    b'{"name": "Q-only", "number": 7, "manager": "m1", "worker_name": "w1", "worker_hostname": "w1.example.net",'
    b' "worker_ips": ["192.0.2.1"], "worker_fqdn": "w1.ci.example.net", "worker_program": "Jenkins",'
    b' "worker_version": "1.5", "worker_extra": {"color": "blue"}}'
)


@pytest.fixture
def begin(launcher: Launcher) -> Begin:
    """A gate whose builds go to the server."""

    def begin(layout: Layout | None = None) -> GearmanPlayer:
        return GearmanPlayer(layout or gate_layouts.scenario_layout(), launcher=launcher)

    return begin


def builds_at(place: Place, *jobs: str) -> Worker:
    return Worker(place, *(f"build:{job}" for job in jobs))


def jobs_at(place: Place) -> dict[str, int]:
    """Function -> jobs that wait or run."""
    lines = [line.split("\t") for line in place.connect().ask_list("status")]
    return {name: int(total) for name, total, *_ in lines}


def test_builds_of_restarted_changes_that_still_wait_are_withdrawn_and_nobody_runs_them(
    begin: Begin, place: Place
) -> None:
    merging, testing, other = (builds_at(place, job) for job in ("P-m", "P-t1", "P-t2"))
    play = begin()
    changes = [play.upload("P") for _ in range(3)]
    play.world.broken.add(("P-t1", changes[0].number))
    play.approve(*changes)
    play.all_queued()
    assert play.work(merging) == ["P-m 1,1", "P-m 1,1 2,1", "P-m 1,1 2,1 3,1"]
    assert {"build:P-t1": 3, "build:P-t2": 3}.items() <= jobs_at(place).items()

    assert play.take(testing) == "P-t1 1,1"
    play.end(testing)
    play.withdrawn()
    assert play.count(cancelled=True) == 4
    assert not testing.grab()
    assert play.work(other) == ["P-t2 1,1"]
    assert play.work(merging) == ["P-m 2,1", "P-m 2,1 3,1"]
    assert play.work(testing) == ["P-t1 2,1", "P-t1 2,1 3,1"]
    assert play.work(other) == ["P-t2 2,1", "P-t2 2,1 3,1"]

    assert play.landed() == ["2", "3"]
    results = Counter(build.result for build in play.world.builds.values())
    assert results == {"SUCCESS": 10, "FAILURE": 1, None: 4}  # the four that were withdrawn have no result


def test_a_change_whose_only_job_is_noop_asks_nothing_of_gearman(begin: Begin, place: Place) -> None:
    worker = builds_at(place, "noop")
    play = begin(gate_layouts.with_tree(gate_layouts.scenario_layout(), "Q", JobNode("noop")))
    change = play.upload("Q")
    play.approve(change)
    assert play.landed() == ["1"]
    assert play.told_of(change) == ["start", "success"]
    assert jobs_at(place) == {"build:noop": 0}
    assert not worker.grab()


def test_a_build_that_its_worker_ends_without_a_result_runs_again_and_its_change_lands(
    begin: Begin, place: Place
) -> None:
    worker = builds_at(place, "Q-only")
    play = begin()
    change = play.upload("Q")
    play.approve(change)
    play.all_queued()
    assert play.take(worker) == "Q-only 1,1"
    play.end(worker, number=1)
    assert play.told_of(change) == ["start"]
    assert play.work(worker) == ["Q-only 1,1"]
    assert play.landed() == ["1"]


def test_a_job_without_a_result_runs_as_often_as_it_may(begin: Begin, place: Place) -> None:
    worker = builds_at(place, "Q-only")
    play = begin(gate_layouts.with_job(gate_layouts.scenario_layout(), "Q-only", attempts=4))
    change = play.upload("Q")
    play.approve(change)
    play.all_queued()
    runs = 0
    while worker.grab():
        play.end(worker, number=1)
        runs += 1
    assert runs == 4
    assert play.told_of(change) == ["start", "failure"]
    assert "RETRY_LIMIT" in play.world.comments[-1].message


def test_a_change_whose_jobs_nobody_offers_fails_and_one_that_comes_after_the_worker_lands(
    begin: Begin, place: Place
) -> None:
    play = begin()
    first, second = play.upload("Q"), play.upload("Q")
    play.approve(first)
    assert play.hear(BuildFinished).result == "NOT_REGISTERED"
    assert play.told_of(first) == ["start", "failure"]
    assert jobs_at(place).get("build:Q-only", 0) == 0

    worker = builds_at(place, "Q-only")
    play.approve(second)
    play.all_queued()
    assert play.work(worker) == ["Q-only 2,1"]
    assert play.landed() == ["2"]


def test_a_ref_whose_job_nobody_offers_runs_nothing_and_does_not_stay(begin: Begin, place: Place) -> None:
    play = begin()
    play.send(play.world.tell_update("P", "main", "2" * 40, play.tick()))
    play.settle()
    assert play.hear(BuildFinished).result == "NOT_REGISTERED"
    assert jobs_at(place).get("build:P-post", 0) == 0
    play.check_the_end()


def test_what_a_worker_tells_of_itself_shows_in_its_build(begin: Begin, place: Place) -> None:
    worker = builds_at(place, "Q-only")
    play = begin()
    change = play.upload("Q")
    play.approve(change)
    play.all_queued()
    build = play.item_of(change).build_set.builds["Q-only"]
    play.take(worker)
    worker.data(FIRST)
    play.hear(BuildProgress)
    assert (build.number, build.manager) == (7, "m1")
    assert build.worker == WorkerFacts(
        name="w1",
        hostname="w1.example.net",
        ips=("192.0.2.1",),
        fqdn="w1.ci.example.net",
        program="Jenkins",
        version="1.5",
        extra={"color": "blue"},
    )
    play.end(worker)


def test_builds_of_the_gate_are_handed_out_before_those_of_check_at_every_step(begin: Begin, place: Place) -> None:
    merging, *testing = (builds_at(place, job) for job in ("P-m", "P-t1", "P-t2"))
    play = begin()
    checked, gated = play.upload("P"), play.upload("P")
    play.propose(checked)
    play.all_queued()
    play.approve(gated)
    play.all_queued()
    assert play.work(merging) == ["P-m 2,1", "P-m 1,1"]
    for worker, job in zip(testing, ("P-t1", "P-t2"), strict=True):
        assert play.work(worker) == [f"{job} 2,1", f"{job} 1,1"]
    assert play.told_of(gated) == ["start", "success"]
    assert play.told_of(checked) == ["success"]


def test_a_waiting_build_whose_job_is_removed_is_withdrawn_and_its_replacement_runs(begin: Begin, place: Place) -> None:
    old, new = builds_at(place, "Q-only"), builds_at(place, "Q-new")
    play = begin()
    play.approve(play.upload("Q"))
    play.all_queued()
    assert jobs_at(place)["build:Q-only"] == 1

    play.load(gate_layouts.with_tree(play.layout, "Q", JobNode("Q-new")))
    play.all_queued()
    play.withdrawn()
    assert not old.grab()
    assert play.work(new) == ["Q-new 1,1"]
    assert play.landed() == ["1"]
