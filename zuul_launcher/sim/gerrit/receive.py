"""The server's side of git-receive-pack: git stores the objects, `push` decides about the refs.

Source: gitprotocol-pack(5). Capabilities: report-status, delete-refs, side-band-64k, ofs-delta.
"""

from collections.abc import Callable
from pathlib import Path

import paramiko

from zuul_launcher.sim.gerrit.git import ZEROS, git
from zuul_launcher.sim.gerrit.pipe import run_git

CAPABILITIES = "report-status delete-refs side-band-64k ofs-delta agent=stand-in"
FLUSH = b"0000"

# (ref, new commit or zeros) -> ("" or why it is refused, lines for the user)
Take = Callable[[str, str], tuple[str, list[str]]]


def serve_push(repository: Path, channel: paramiko.Channel, take: Take) -> None:
    """Speaks to one `git push`."""
    refs = git(repository, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
    lines = refs.split("\n") if refs else [f"{ZEROS} capabilities^{{}}"]
    lines[0] += f"\0{CAPABILITIES}"
    channel.sendall(b"".join(packet(f"{line}\n".encode()) for line in lines) + FLUSH)
    reader = Reader(channel)
    commands: list[tuple[str, str]] = []
    asked = ""
    while line := reader.packet():
        text, _, capabilities = line.decode().rstrip("\n").partition("\0")
        asked = asked or capabilities
        _, new, ref = text.split(" ", 2)
        commands.append((ref, new))
    if not commands:
        return
    has_pack = any(new != ZEROS for _, new in commands)
    problem = _unpack(repository, reader) if has_pack else ""
    report = packet(f"unpack {problem or 'ok'}\n".encode())
    said: list[str] = []
    for ref, new in commands:
        reason, told = ("unpacker error", []) if problem else take(ref, new)
        said += told
        report += packet(f"ng {ref} {reason}\n".encode() if reason else f"ok {ref}\n".encode())
    report += FLUSH
    if "side-band-64k" not in asked:
        channel.sendall(report)
        return
    told_bytes = "".join(f"{line}\n" for line in said).encode()
    progress = packet(b"\2" + told_bytes) if told_bytes else b""
    channel.sendall(progress + packet(b"\1" + report) + FLUSH)


def packet(content: bytes) -> bytes:
    return f"{len(content) + 4:04x}".encode() + content


class Reader:
    """Reads packets; `rest` is what came after the last one."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.channel = channel
        self.rest = b""

    def packet(self) -> bytes:
        """The next packet; b"" for a flush, or when the client is gone."""
        size = int(self._take(4) or FLUSH, 16)
        return self._take(size - 4) if size else b""

    def _take(self, size: int) -> bytes:
        while len(self.rest) < size:
            received = self.channel.recv(65536)
            if not received:
                return b""
            self.rest += received
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken


def _unpack(repository: Path, reader: Reader) -> str:
    """Stores the objects that the client sends; returns what is wrong with them, or ""."""
    _, problem = run_git(repository, ["unpack-objects", "-q"], reader.channel, given=reader.rest)
    return problem.split("\n")[0]
