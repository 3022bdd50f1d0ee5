"""What a test lets go wrong in the stand-in. Everything is off at the start."""

import threading
from dataclasses import dataclass, field


def _open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


@dataclass
class Faults:
    refuse_logins: bool = False  # no key is accepted
    lose_answer_after_review: bool = False  # the next review is done, and the connection ends before it says so
    refuse_queries: int = 0  # so many queries end with an error that says nothing
    answering: threading.Event = field(default_factory=_open_gate)  # while it is clear, commands wait unanswered
    said: list[str] = field(default_factory=list)  # every command line that arrived: "USERNAME: COMMAND"
