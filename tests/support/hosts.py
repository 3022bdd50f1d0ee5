"""Hosts for tests: network namespaces of this machine, each with one link to the outside, where the test runs.

Names and addresses are the process's own: ZLPID-NUMBER, and in 10.0.0.0/8 one for each number and process id. What a
killed run has left is removed by the next one. Nothing is routed: a host reaches the outside, nobody else.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

from support.services import program

SECONDS = 60
PREFIX = "zl"
MOST = 3
PROCESS_ID_BITS = 22  # at most, on Linux
_names = count(1)


@dataclass(frozen=True)
class Host:
    address: str
    outside: str  # where it reaches what runs outside
    enter: tuple[str, ...] = ()  # words before a command that is to run there


LOOPBACK = Host("127.0.0.1", "127.0.0.1")


class NoHosts(Exception):
    """Why none can be made."""


@contextmanager
def hosts(number: int) -> Iterator[list[Host]]:
    """So many, up to MOST at once. Raises NoHosts: this machine, or this user, can not have any."""
    assert number <= MOST
    ip = program("ip")
    if ip is None:
        raise NoHosts("needs iproute2: make services")
    if os.getuid() != 0:
        raise NoHosts("needs root")
    _remove_left_over(ip)
    names = [f"{PREFIX}{os.getpid()}-{next(_names)}" for _ in range(number)]
    try:
        yield [_made(ip, name, place) for place, name in enumerate(names, 1)]
    finally:
        for name in names:
            _remove(ip, name)


def _address(place: int) -> str:
    """10.0.0.0/8 is four times as large as the numbers of processes; place 0 is the outside."""
    return str(IPv4Address("10.0.0.0") + (place << PROCESS_ID_BITS) + os.getpid())


def _made(ip: str, name: str, place: int) -> Host:
    own, outside = _address(place), _address(0)
    inside = ("-netns", name)
    for words in (
        ("netns", "add", name),
        ("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name),
        ("address", "add", outside, "peer", own, "dev", name),
        ("link", "set", name, "up"),
        (*inside, "address", "add", own, "peer", outside, "dev", "eth0"),
        (*inside, "link", "set", "lo", "up"),
        (*inside, "link", "set", "eth0", "up"),
    ):
        done = subprocess.run([ip, *words], capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode != 0:
            raise NoHosts(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return Host(own, outside, (ip, "netns", "exec", name))


def _remove(ip: str, name: str) -> None:
    """The link first: that of a namespace goes when its last process does, and then some time later."""
    if name in _links():
        subprocess.run([ip, "link", "delete", name], timeout=SECONDS, check=False)
    if name in _namespaces():
        subprocess.run([ip, "netns", "delete", name], timeout=SECONDS, check=False)


def _remove_left_over(ip: str) -> None:
    for name in _links() | _namespaces():
        found = re.fullmatch(PREFIX + r"(\d+)-\d+", name)
        if found and not Path("/proc", found[1]).exists():
            _remove(ip, name)


def _links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def _namespaces() -> set[str]:
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir()} if folder.exists() else set()
