"""Lets a git process speak to an SSH channel, in one thread."""

import selectors
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import paramiko

from zuul_launcher.sim.gerrit.git import DEADLINE, clean_environment

CHUNK = 65536


def run_git(
    repository: Path,
    arguments: list[str],
    channel: paramiko.Channel,
    *,
    given: bytes = b"",
    environment: Mapping[str, str] = {},
) -> tuple[int, str]:
    """Runs git with `given` and then the channel as its input and the channel as its output.

    Returns when git ends by itself or is silent beyond the deadline: its exit status, and what it said on stderr.
    The channel stays open, for some clients wait for an answer after the last byte.
    """
    with subprocess.Popen(
        ["git", *arguments],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=clean_environment(**environment),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        said = b""
        try:
            _give(process.stdin, given)
            with selectors.DefaultSelector() as selector:
                outputs = {process.stdout.fileno(), process.stderr.fileno()}
                for source in (*outputs, client := channel.fileno()):
                    selector.register(source, selectors.EVENT_READ)
                while outputs:
                    ready = selector.select(DEADLINE)
                    if not ready:
                        raise TimeoutError
                    for key, _ in ready:
                        if key.fd == client:
                            content = channel.recv(CHUNK)
                            _give(process.stdin, content)
                            if not content:
                                process.stdin.close()
                        elif key.fd == process.stdout.fileno():
                            content = process.stdout.read(CHUNK)
                            channel.sendall(content)
                        else:
                            content = process.stderr.read(CHUNK)
                            said += content
                        if not content:
                            selector.unregister(key.fd)
                            outputs.discard(key.fd)
            process.wait(DEADLINE)
        except OSError:  # the client is gone, or git is silent
            process.kill()
    return process.returncode, said.decode(errors="replace")


def _give(stdin: IO[bytes], content: bytes) -> None:
    """Writes all to git, which may have had enough already."""
    try:
        while content:
            content = content[stdin.write(content) :]
    except BrokenPipeError:
        pass
