"""The limits of the server, each with the default that a site need not change."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    grace_seconds: float = 600.0  # how long a job or a result without a client is kept
    hearing_seconds: float = 5.0  # how long a client may take to make use of a result: it is kept if it breaks sooner
    packet_limit: int = 128 * 1024 * 1024  # bytes of one packet's body
    write_limit: int = 64 * 1024 * 1024  # bytes that a peer may leave unread before it is closed
    connection_limit: int = 10_000
    message_seconds: float = 60.0  # how long a message that was begun may take, beside the time that its size needs
