"""What every test may use: `support`, and the parts that may be missing on a machine."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))

from support.services import PARTS, require  # noqa: E402 - found by the line above

# A busy machine is no failure: order and outcome are tested, never speed.
settings.register_profile("tests", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

LATE = ("contract", "system")  # folders whose tests start processes


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Quick tests first; those of the real Gerrit next, all on one worker, while others do the rest.

    xdist reads the groups in its own hook, and pytest-randomly shuffles in its: mark before them, sort after them.
    """
    for item in items:
        if item.get_closest_marker("gerrit"):
            item.add_marker(pytest.mark.xdist_group("gerrit"))
    yield
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("gerrit"):
        return 1
    late = item.path.relative_to(TESTS).parts[0] in LATE if item.path.is_relative_to(TESTS) else False
    return 2 if late or any(item.get_closest_marker(part) for part in PARTS) else 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test: are the parts here that it is marked with?"""
    for part in PARTS:
        if item.get_closest_marker(part):
            require(part)


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so do the processes that our tests start then."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def of_no_user() -> Iterator[None]:
    """Git and SSH as on a machine where nobody has set them up."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("GIT_", "SSH_AUTH"))]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
        patch.setenv("GIT_TERMINAL_PROMPT", "0")
        yield
