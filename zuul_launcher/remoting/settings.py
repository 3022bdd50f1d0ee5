"""What may be set for a channel: times in seconds, sizes in bytes. Runs on the node too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChannelSettings:
    """Defaults are those of the manual; tests shorten the times."""

    ping_interval: float = 30.0
    ping_timeout: float = 120.0  # silence after which the channel is lost
    handshake_timeout: float = 30.0
    close_timeout: float = 5.0  # how long close() waits for the far side
    window: int = 1 << 20  # bytes on the way in a pipe
    max_frame: int = 1 << 16
    max_message: int = 128 << 20
    threads: int = 8  # calls of the far side that run at once
    debug: bool = False  # note where objects were exported
    cache: bool = True  # keep sources in $XDG_CACHE_HOME/zuul-remoting of the node
