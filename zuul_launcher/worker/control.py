"""Commands to a running manager, over a Unix socket that only its user can reach.

One connection is one command: a line of JSON `{"command": NAME, "arguments": {...}}`, answered by any number of lines
`{"news": ...}` and a last one, `{"answer": ...}` or `{"error": TEXT}`.
"""

import json
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zuul_launcher.errors import RemoteUnavailable, ZuulLauncherError

SOCKET = "control.sock"
LINE_LIMIT = 1 << 20  # bytes of a command
READ_SECONDS = 10.0

log = logging.getLogger("zuul_launcher.worker.control")

Tell = Callable[[Any], None]
Command = Callable[[Mapping[str, Any], Tell], Any]  # arguments, where to tell news -> answer


class Refused(ZuulLauncherError):
    """The manager said no, and why."""


class NobodyThere(RemoteUnavailable):
    """None runs here."""


class Control:
    """Takes commands in `folder` between `start` and `stop`; each runs in a thread of its own.

    A command that raises a ZuulLauncherError is answered with its text; anything else is a fault of ours, logged.
    """

    def __init__(self, folder: Path, commands: Mapping[str, Command]) -> None:
        class Conversation(socketserver.StreamRequestHandler):
            timeout = READ_SECONDS

            def handle(self) -> None:
                _serve(self, commands)

        with _short(folder) as path:
            Path(path).unlink(missing_ok=True)  # of a manager that was killed: the lock of the folder says so
            self._server = _Server(path, Conversation, bind_and_activate=False)
            self._server.server_bind()
            Path(path).chmod(0o600)  # before anybody can connect; a umask would be that of all threads
            self._server.server_activate()
        self._path = folder / SOCKET
        self._thread = threading.Thread(target=self._server.serve_forever, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False  # `stop` is a command itself


def ask(folder: Path, command: str, arguments: Mapping[str, Any], on_news: Tell, timeout: float | None = 60.0) -> Any:
    """The answer of the manager whose folder this is. timeout: seconds that it may be silent.

    NobodyThere: there is none. RemoteUnavailable: it went away, or was silent. Refused: its error.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            with _short(folder) as path:
                connection.connect(path)
        except OSError as error:
            raise NobodyThere(f"no worker answers in {folder} ({error.strerror or error}): is it running?") from error
        try:
            connection.sendall(json.dumps({"command": command, "arguments": dict(arguments)}).encode() + b"\n")
            for line in connection.makefile("rb"):
                said = json.loads(line)
                if "error" in said:
                    raise Refused(said["error"])
                if "answer" in said:
                    return said["answer"]
                on_news(said["news"])
        except OSError as error:
            raise RemoteUnavailable(f"the worker of {folder} does not answer: {error.strerror or error}") from error
    raise RemoteUnavailable(f"the worker of {folder} ended before it answered")


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path of the socket that fits into the 108 bytes that the system has for it, however long the folder's is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def _serve(handler: socketserver.StreamRequestHandler, commands: Mapping[str, Command]) -> None:
    lock = threading.Lock()

    def tell(kind: str, value: Any) -> None:
        with lock:
            handler.wfile.write(json.dumps({kind: value}).encode() + b"\n")

    try:
        said = json.loads(handler.rfile.readline(LINE_LIMIT))
        handler.connection.settimeout(None)  # news may be rare
        command = commands.get(said["command"])
        if command is None:
            tell("error", f"this worker knows no command {said['command']!r}")
            return
        tell("answer", command(said["arguments"], lambda news: tell("news", news)))
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass  # whoever asked has gone
    except ZuulLauncherError as error:
        tell("error", str(error))
    except Exception as error:
        log.exception("a command failed")
        tell("error", f"{type(error).__name__}: {error}")
