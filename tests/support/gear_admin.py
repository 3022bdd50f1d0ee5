"""An administrator who has nothing but the `gear` library: calls the functions of behaviour 6.1 as v2's client did."""

import json
from typing import Any

import gear
from support.waiting import wait_until


class Admin:
    """Use it as a context. Tests that do have to ignore gear's DeprecationWarning of `notifyAll`."""

    def __init__(self, port: int) -> None:
        self._client = gear.Client("v2 client")
        self._client.addServer("127.0.0.1", port)

    def __enter__(self) -> "Admin":
        self._client.waitForServer()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.shutdown()

    def ask(self, function: str, **arguments: Any) -> tuple[str, str]:
        """How it ended, and the text."""
        job = gear.Job(f"zuul:{function}".encode(), json.dumps(arguments).encode())
        self._client.submitJob(job, timeout=60)
        wait_until(lambda: job.complete, what=f"the end of {function}")
        if job.exception is not None:
            return "exception", job.exception.decode()
        return "failure" if job.failure else "complete", b"".join(job.data).decode()
