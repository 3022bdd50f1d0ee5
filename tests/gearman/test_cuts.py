"""Whatever connection breaks when: each build that was launched ends exactly once."""

import random

import pytest
from support.gearman_places import Launcher, Proxy, Worker, build_request
from support.gearman_wire import Place
from support.waiting import wait_until

from zuul_launcher.model.events import BuildFinished, BuildLost

BUILDS = 25


@pytest.mark.parametrize("seed", range(3))
def test_each_build_ends_once_whatever_is_cut(place: Place, seed: int) -> None:
    choices = random.Random(seed)
    proxy = Proxy(place.port)
    launcher = Launcher(proxy.port)
    launcher.connected()
    worker = Worker(place, "build:unit")
    ends: list[str] = []
    runs: list[str] = []

    def work() -> None:
        nonlocal worker
        try:
            if worker.grab():
                runs.append(worker.unique)
                worker.data(b'{"number": 1, "manager": "nobody"}')
                worker.complete(b'{"result": "SUCCESS"}')
        except (AssertionError, OSError):  # gear's server drops a worker whose client is gone
            worker = Worker(place, "build:unit")

    def take_events() -> bool:
        while (event := launcher.next_event()) is not None:
            if isinstance(event, BuildFinished | BuildLost):
                ends.append(event.build)
        return len(set(ends)) == BUILDS

    for number in range(BUILDS):
        launcher.builds.launch(build_request(f"{number:032x}"))
        for _ in range(choices.randrange(3)):
            work()
        if choices.random() < 0.3:
            proxy.cut()
            wait_until(lambda: not launcher.client.connected)
            work()
            proxy.mend()
        if choices.random() < 0.5:
            launcher.connected()

    def all_ended() -> bool:
        work()
        return take_events()

    wait_until(all_ended)
    assert len(ends) == BUILDS, "a build ended twice"
    if place.name == "ours":
        assert sorted(runs) == sorted(set(runs)), "a build ran twice"
    launcher.close()
    proxy.close()
