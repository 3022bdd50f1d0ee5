"""The first line each way: who is here, and which versions of the protocol it speaks. No I/O. Runs on the node too.

    \\n<<<ZLR1>>> {"proto": [1, 1], "py": [3, 11, 7], "caps": [...], "max_frame": 65536, ...}\\n

The agent's line may come after noise (banners, output of shell start files), which is kept for the error text. The
common version is the highest that both speak. Capabilities that are not known are ignored.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import Any, NamedTuple

from zuul_launcher.remoting.errors import HandshakeFailed
from zuul_launcher.remoting.settings import ChannelSettings

MARK = b"\n<<<ZLR1>>> "
PROTOCOLS = (1, 1)
CAPABILITIES = ("cancel", "modules", "pipes", "proxies")
MAX_NOISE = 1 << 16
MAX_LINE = 1 << 16
QUOTED = 2000
NO_COMMON_PROTOCOL = 70  # exit status of an agent


class Peer(NamedTuple):
    """What a side says about itself."""

    protocols: tuple[int, int]
    python: tuple[int, int, int]
    implementation: str
    capabilities: frozenset[str]
    max_frame: int
    window: int
    pid: int
    system: str

    @property
    def minor(self) -> str:
        """Such as 3.11"""
        return f"{self.python[0]}.{self.python[1]}"


def myself(settings: ChannelSettings) -> Peer:
    """This side."""
    return Peer(
        PROTOCOLS,
        tuple(sys.version_info[:3]),  # type: ignore[arg-type] # it is three numbers
        platform.python_implementation().lower(),
        frozenset(CAPABILITIES),
        settings.max_frame,
        settings.window,
        os.getpid(),
        sys.platform,
    )


def preamble(peer: Peer) -> bytes:
    """The line."""
    said = {
        "proto": peer.protocols,
        "py": peer.python,
        "impl": peer.implementation,
        "pickle": 5,
        "caps": sorted(peer.capabilities),
        "max_frame": peer.max_frame,
        "window": peer.window,
        "pid": peer.pid,
        "os": peer.system,
    }
    return MARK + json.dumps(said).encode() + b"\n"


class PreambleReader:
    """Looks for the line in what comes. HandshakeFailed: too much noise, or a line that makes no sense."""

    def __init__(self) -> None:
        self._received = b""

    @property
    def noise(self) -> str:
        """The end of what came so far, for an error text."""
        text = self._received[-QUOTED:].decode("utf-8", "replace").strip()
        return text if len(self._received) <= QUOTED else f"... {text}"

    def add(self, data: bytes) -> tuple[Peer, bytes] | None:
        """The far side and what came after its line, or None: not yet."""
        self._received += data
        start = (b"\n" + self._received).find(MARK)
        if start < 0:
            if len(self._received) > MAX_NOISE:
                raise HandshakeFailed(f"{MAX_NOISE} bytes came and no agent. They end in: {self.noise}")
            return None
        start += len(MARK) - 1
        end = self._received.find(b"\n", start)
        if end < 0:
            if len(self._received) - start > MAX_LINE:
                raise HandshakeFailed(f"the agent's first line is too long: {self.noise}")
            return None
        return _parse(self._received[start:end]), self._received[end + 1 :]


def _parse(line: bytes) -> Peer:
    try:
        said: dict[str, Any] = json.loads(line)
        low, high = (int(number) for number in said["proto"])
        major, minor, micro = (int(number) for number in said["py"])
        return Peer(
            (low, high),
            (major, minor, micro),
            str(said["impl"]),
            frozenset(str(name) for name in said["caps"]),
            int(said["max_frame"]),
            int(said["window"]),
            int(said["pid"]),
            str(said["os"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        quoted = line[:200].decode("utf-8", "replace")
        raise HandshakeFailed(f"the first line of the far side makes no sense ({error!r}): {quoted}") from None


def agree(ours: Peer, theirs: Peer) -> int:
    """The common protocol version. HandshakeFailed names both ranges, or a size that nobody can work with."""
    version = min(ours.protocols[1], theirs.protocols[1])
    if version < max(ours.protocols[0], theirs.protocols[0]):
        raise HandshakeFailed(
            f"no common protocol version: this side speaks {ours.protocols[0]} to {ours.protocols[1]}, "
            f"the far side {theirs.protocols[0]} to {theirs.protocols[1]}"
        )
    if not 1024 <= theirs.max_frame <= 1 << 24 or not 1024 <= theirs.window <= 1 << 28:
        raise HandshakeFailed(f"the far side wants frames of {theirs.max_frame} and windows of {theirs.window} bytes")
    return version
