"""How a step's wish for builds of other jobs gets to the Gearman server, and their results back."""

import json
from collections.abc import Mapping
from uuid import uuid4

from zuul_launcher.worker.builds.trigger import Submitted
from zuul_launcher.worker.queue.functions import BUILD
from zuul_launcher.worker.queue.submit import SubmittedJob, submit

LONGEST = 365 * 24 * 3600.0  # seconds: a wait without a limit


def triggering(address: tuple[str, int], job: str, parameters: Mapping[str, str], *, wait: bool) -> Submitted:
    """`builds.trigger.Submit` for the server at this address."""
    function, payload, unique = f"{BUILD}{job}", json.dumps(dict(parameters)).encode(), uuid4().hex
    if wait:
        return _WaitedFor(SubmittedJob(*address, function, payload, unique))
    submit(*address, function, payload, unique)
    return _LeftAlone()


class _WaitedFor:
    def __init__(self, submitted: SubmittedJob) -> None:
        self._submitted = submitted

    def wait(self, timeout: float | None) -> str | None:
        end = self._submitted.wait(LONGEST if timeout is None else timeout)
        if end is None:
            raise TimeoutError
        if end.kind != "complete":
            return None
        try:
            result = json.loads(end.data).get("result")
        except (ValueError, AttributeError):
            return None
        return str(result) if result is not None else None

    def leave(self) -> None:
        self._submitted.cancel()
        self._submitted.close()


class _LeftAlone:
    def wait(self, timeout: float | None) -> str | None:
        """Nobody waits for it."""
        return None

    def leave(self) -> None:
        """It goes its way."""
