"""The times of the Gearman side, in one place; tests shorten them. Seconds."""

from msgspec import Struct


class QueueSettings(Struct, frozen=True, kw_only=True):
    server: str = "127.0.0.1"
    port: int = 4730
    qualify_ids: bool = False  # the manager's name before that of the node, in client ids
    merge_seconds: float = 0.1  # events that come within it are one change
    probe_seconds: float = 60.0  # asleep, after which a GRAB asks whether the connection still carries anything
    answer_seconds: float = 10.0  # for the answer to a GRAB
    delays: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # between tries to connect; the last one repeats
    jitter: float = 0.2  # part by which each of them may differ
    stable_seconds: float = 60.0  # that a connection lasts before the delays begin anew
    retry_seconds: float = 1.0  # after a fault of ours
