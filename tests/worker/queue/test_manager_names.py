"""Two managers of one name would get each other's stops: that is seen before the second one starts."""

import pytest
from support.gearman_wire import Place
from support.queue_world import MANAGER, a_job, a_node, offered, world_at
from support.waiting import free_port, wait_until

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.worker.queue.clash import other_manager


def test_a_second_manager_of_the_same_name_is_told_who_has_it(place: Place) -> None:
    """D20."""
    with world_at(place.port, a_node("n"), a_job("P")):
        wait_until(lambda: len(offered(place)) == 2)
        found = other_manager("127.0.0.1", place.port, MANAGER)
        assert found is not None
        assert found.startswith(f"{MANAGER}_manager at 127.0.0.1")
        assert other_manager("127.0.0.1", place.port, "manage") is None
    wait_until(lambda: other_manager("127.0.0.1", place.port, MANAGER) is None)


def test_a_server_that_is_away_cannot_say() -> None:
    with pytest.raises(RemoteUnavailable):
        other_manager("127.0.0.1", free_port(), MANAGER)
