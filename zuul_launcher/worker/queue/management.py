"""The manager's own connection: `stop:NAME` and `set_description:NAME`. It waits for no executor, so builds can be
stopped while all are busy, and while the manager is draining.

Answers: WORK_COMPLETE (of stop with `{"state": "queued" | "aborting"}`), WORK_FAIL if the build is over,
WORK_EXCEPTION with the reason if the request is wrong or there is no such build. A stop that is repeated is answered as
the first one was.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

from gear import constants
from msgspec import Struct

from zuul_launcher.errors import RequestError
from zuul_launcher.gearman.wire import encode
from zuul_launcher.worker.parts import StopState, UnknownBuild
from zuul_launcher.worker.queue.connection import GivenJob, WorkerConnection
from zuul_launcher.worker.queue.functions import management_id
from zuul_launcher.worker.queue.outage import Outage
from zuul_launcher.worker.queue.settings import QueueSettings

STOP = "stop:"
DESCRIBE = "set_description:"
NUMBER_DIGITS = 18

log = logging.getLogger("zuul_launcher.worker.queue")

Stop = Callable[[str, str, str | None], StopState]  # job, number, uuid: the last one instead of the others
Describe = Callable[[str, str, str], str]  # job, number, HTML -> a sentence for the client


class Named(Struct, frozen=True):
    """Which build a request is about: `uuid`, or the other two."""

    job: str
    number: str
    uuid: str | None = None


class Management(WorkerConnection):
    """`stop` and `describe` are quick, and raise UnknownBuild."""

    def __init__(
        self, settings: QueueSettings, manager: str, outage: Outage, *, stop: Stop, describe: Describe
    ) -> None:
        functions = frozenset({f"{STOP}{manager}", f"{DESCRIBE}{manager}"})
        super().__init__(settings, management_id(manager), outage, functions)
        self._stop = stop
        self._describe = describe

    def given(self, job: GivenJob) -> None:
        try:
            command, data = self._answer(job)
        except (RequestError, UnknownBuild) as error:
            command, data = constants.WORK_EXCEPTION, str(error).encode()
        except Exception as error:
            self.faults += 1
            log.exception("%s: %s failed", self.name, job.function)
            command, data = constants.WORK_EXCEPTION, f"a fault of the manager: {error}".encode()
        packet = encode(command, job.handle) if command == constants.WORK_FAIL else encode(command, job.handle, data)
        self.say(packet, last=True)

    def _answer(self, job: GivenJob) -> tuple[int, bytes]:
        """Packet and data. Raises RequestError, UnknownBuild."""
        if job.function not in self.registered:
            return constants.WORK_FAIL, b""
        request = read_request(job.payload)
        if job.function.startswith(DESCRIBE):
            named = read_named(request)
            sentence = self._describe(named.job, named.number, read_description(request))
            return constants.WORK_COMPLETE, sentence.encode()
        named = read_named(request, may_be_uuid=True)
        state = self._stop(named.job, named.number, named.uuid)
        if state == "finished":
            return constants.WORK_FAIL, b""
        return constants.WORK_COMPLETE, json.dumps({"state": state}).encode()


def read_request(payload: bytes) -> dict[str, Any]:
    """Raises RequestError."""
    try:
        request = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the request is no JSON: {error}") from None
    if not isinstance(request, dict):
        raise RequestError(f"the request is no JSON object: {_shown(request)}")
    return request


def read_named(request: dict[str, Any], *, may_be_uuid: bool = False) -> Named:
    """The build that a request names; keys that it does not need are ignored. Raises RequestError."""
    uuid = request.get("uuid")
    if may_be_uuid and uuid:
        if not isinstance(uuid, str):
            raise RequestError(f"uuid is no text: {_shown(uuid)}")
        return Named("", "", uuid)
    job = request.get("name")
    if not isinstance(job, str) or not job:
        raise RequestError(f"name is not the name of a job: {_shown(job)}")
    return Named(job, _read_number(request.get("number")))


def read_description(request: dict[str, Any]) -> str:
    """Empty if it is missing or null. Raises RequestError."""
    html = request.get("html_description")
    if html is not None and not isinstance(html, str):
        raise RequestError(f"html_description is no text: {_shown(html)}")
    return html or ""


def _read_number(value: Any) -> str:
    """Clients send it as a number or as text."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()) or len(text) > NUMBER_DIGITS:
        raise RequestError(f"number is not the number of a build: {_shown(value)}")
    return str(int(text))


def _shown(value: Any) -> str:
    return json.dumps(value)[:200]
