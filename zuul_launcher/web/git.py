"""The mergers' repositories over HTTP, read-only: what workers fetch under ZUUL_URL.

Only the two requests of git's smart protocol for fetching are answered, by ``git http-backend`` as a child process; all
else is 404. The child sees an environment of our making, has a deadline, and goes when the client does.
"""

import asyncio
import logging
import os
import re
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_PATH = re.compile(r"/(?P<project>.+)/(?P<service>info/refs|git-upload-pack)")
_PROTOCOL = re.compile(rb"version=[0-9]")
_MOST_CHILDREN = 16
_LARGEST_REQUEST = 32 * 2**20  # bytes; the wants and haves of one fetch
_PASSED_ON = (b"content-type", b"cache-control", b"expires", b"pragma")

_CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "http.receivepack": "false",
    "http.getanyfile": "false",
    # The page may run as another user than the merger; nothing in a repository is run by reading it.
    "safe.directory": "*",
}


def git_application(root: Path, deadline: float = 600.0) -> ASGIApp:
    """An ASGI application that serves the repositories below ``root``, for mounting at /p.

    ``deadline`` is the longest that one fetch may take, in seconds.
    """
    children = asyncio.Semaphore(_MOST_CHILDREN)
    program = shutil.which("git") or "git"

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        environment = cgi_environment(scope, root)
        if environment is None:
            await _refuse(send, 404)
            return
        async with children:
            await _serve(program, environment, deadline, receive, send)

    return application


def repository_path(root: Path, project: str) -> Path | None:
    """Where the project's repository is, or None: there is none, or the name leads elsewhere."""
    parts = project.split("/")
    if any(part in ("", ".", "..") or part.startswith("-") or part.lower().endswith(".git") for part in parts):
        return None
    if parts[0].startswith(".zuul-launcher") or re.search(r"[\x00-\x1f\x7f\\]", project):
        return None
    path = root / project
    try:
        inside = path.resolve().is_relative_to(root.resolve())
        there = any((folder / "HEAD").is_file() and (folder / "objects").is_dir() for folder in (path, path / ".git"))
    except (OSError, ValueError):
        return None
    return path if inside and there else None


def cgi_environment(scope: Scope, root: Path) -> dict[str, str] | None:
    """The environment in which ``git http-backend`` answers this request, or None if it is not to be answered."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    found = _PATH.fullmatch(path)
    if not found or repository_path(root, found["project"]) is None:
        return None
    reading = found["service"] == "info/refs"
    if (scope["method"], scope["query_string"]) != (("GET", b"service=git-upload-pack") if reading else ("POST", b"")):
        return None
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    environment = {
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path,
        "REQUEST_METHOD": scope["method"],
        "QUERY_STRING": scope["query_string"].decode("ascii"),
        "CONTENT_TYPE": "" if reading else "application/x-git-upload-pack-request",
        "GIT_CONFIG_COUNT": str(len(_CONFIGURATION)),
    }
    if headers.get(b"content-encoding") == b"gzip":
        environment["HTTP_CONTENT_ENCODING"] = "gzip"
    protocol = headers.get(b"git-protocol", b"")
    if _PROTOCOL.fullmatch(protocol):
        environment["HTTP_GIT_PROTOCOL"] = protocol.decode("ascii")
    for number, (key, value) in enumerate(_CONFIGURATION.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


async def _serve(program: str, environment: Mapping[str, str], deadline: float, receive: Receive, send: Send) -> None:
    child = await asyncio.create_subprocess_exec(
        *(program, "http-backend"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": f"{Path(program).parent}:{os.defpath}", **environment},
        start_new_session=True,
    )
    assert child.stdin
    assert child.stdout
    feeding = asyncio.create_task(_feed(child.stdin, receive))
    answering = asyncio.create_task(_answer(child.stdout, send))
    try:
        async with asyncio.timeout(deadline):
            # The feeder ends early only when the client has left or sent too much.
            await asyncio.wait((feeding, answering), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await answering
    except TimeoutError:
        log.warning("Serving %s took longer than %g seconds", environment["PATH_INFO"], deadline)
    finally:
        for task in (feeding, answering):
            task.cancel()
        await asyncio.gather(feeding, answering, return_exceptions=True)
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await child.wait()


async def _feed(stdin: asyncio.StreamWriter, receive: Receive) -> None:
    """Pass the request's body on, then wait for the client to leave."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body = message.get("body", b"")
        size += len(body)
        if size > _LARGEST_REQUEST:
            return
        try:
            stdin.write(body)
            await stdin.drain()
            if not message.get("more_body", False):
                stdin.close()
        except ConnectionError:  # the child has read enough
            pass


async def _answer(stdout: asyncio.StreamReader, send: Send) -> None:
    """Turn the child's output, CGI headers and body, into the response."""
    try:
        head = await stdout.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await _refuse(send, 502)
        return
    status, headers = parse_head(head)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while chunk := await stdout.read(2**16):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def parse_head(head: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and headers from what a CGI program prints first."""
    status = 200
    headers = [(b"x-content-type-options", b"nosniff")]
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name, value = name.strip().lower(), value.strip()
        if name == b"status":
            status = int(value.split()[0])
        elif name in _PASSED_ON:
            headers.append((name, value))
    return status, headers


async def _refuse(send: Send, status: int) -> None:
    start: Message = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
    await send(start)
    await send({"type": "http.response.body", "body": b"There is nothing here to fetch.\n"})
