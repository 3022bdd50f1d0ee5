"""Parameter functions of the site, run in a child process with a deadline: they may raise, loop or leak, and only their
own build suffers.

The child (`sitecode_child.py`) reads one JSON object a line and answers with one; it is started when first needed,
and again after it was ended.
"""

import json
import logging
import selectors
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from zuul_launcher.errors import ZuulLauncherError

DEADLINE = 5.0  # seconds that one call may take
START_DEADLINE = 30.0  # seconds that the modules of the site may take to load

log = logging.getLogger("zuul_launcher.sitecode")


class SiteCodeFailed(ZuulLauncherError):
    """The site's function raised, did not return in time, or gave what is no set of parameters."""


class SiteCode:
    """One child process with the python files of one layout. Used by one thread."""

    def __init__(self, includes: Sequence[str], deadline: float = DEADLINE) -> None:
        self._includes = list(includes)
        self._deadline = deadline
        self._child: subprocess.Popen[bytes] | None = None

    def call(self, function: str, job: str, context: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters after `function(item, job, params)` has changed them. SiteCodeFailed: it did not work out."""
        request = {"function": function, "job": job, "context": context, "parameters": parameters}
        answer = self._ask(request)
        if "error" in answer:
            raise SiteCodeFailed(str(answer["error"]))
        changed = answer.get("parameters")
        if not isinstance(changed, dict):
            raise SiteCodeFailed(f"{function} did not leave a dictionary of parameters")
        return changed

    def stop(self) -> None:
        """End the child. Harmless twice."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        child = self._child or self._start()
        try:
            self._write(child, request)
            return self._read(child, self._deadline)
        except (OSError, ValueError) as error:
            self.stop()
            raise SiteCodeFailed(f"{request['function']}: {error}") from error

    def _start(self) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(
            [sys.executable, "-m", "zuul_launcher.service.sitecode_child", *self._includes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._child = child
        try:
            answer = self._read(child, START_DEADLINE)
        except (OSError, ValueError) as error:
            self.stop()
            raise SiteCodeFailed(f"the python files of the layout do not load: {error}") from error
        if "error" in answer:
            self.stop()
            raise SiteCodeFailed(f"the python files of the layout do not load: {answer['error']}")
        return child

    def _write(self, child: "subprocess.Popen[bytes]", request: dict[str, Any]) -> None:
        assert child.stdin is not None
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()

    def _read(self, child: "subprocess.Popen[bytes]", deadline: float) -> dict[str, Any]:
        """One line. ValueError: it did not come in time, or is none of ours."""
        assert child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if not selector.select(deadline):
                raise ValueError(f"did not return within {deadline:g} s")
        line = child.stdout.readline()
        if not line:
            raise ValueError("the process that runs it ended")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("no answer")
        return answer
