"""The SSH side of the stand-in: one thread a connection (paramiko's), one a command.

Commands: `gerrit stream-events|query|review|version|ls-projects|create-project`, `git-upload-pack`,
`git-receive-pack`. A command line is split as Gerrit splits it; it never meets a shell.
"""

import json
import logging
import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)

from zuul_launcher.errors import RemoteError
from zuul_launcher.sim.gerrit import query, review
from zuul_launcher.sim.gerrit.commandline import split
from zuul_launcher.sim.gerrit.faults import Faults
from zuul_launcher.sim.gerrit.model import PRIVILEGED, Account, Refused
from zuul_launcher.sim.gerrit.pipe import run_git
from zuul_launcher.sim.gerrit.push import push_ref
from zuul_launcher.sim.gerrit.receive import serve_push
from zuul_launcher.sim.gerrit.state import EventLines, State

DEADLINE = 30.0  # seconds in which a thread that was told to end ends
LOG = logging.getLogger(__name__)


class Server:
    """Listens, and runs what clients ask for. `create_project(name)` is what the command of that name does."""

    def __init__(
        self,
        state: State,
        faults: Faults,
        *,
        host_key: paramiko.PKey,
        user_keys: dict[str, paramiko.PKey],
        create_project: Callable[[str], None],
    ) -> None:
        self.state = state
        self.faults = faults
        self.user_keys = user_keys
        self.create_project = create_project
        self._host_key = host_key
        self._listener = socket.socket()
        self._accepting = threading.Thread(target=self._accept, name="stand-in-gerrit", daemon=True)
        self._transports: list[paramiko.Transport] = []
        self._commands: list[threading.Thread] = []
        self.streams: list[paramiko.Transport] = []  # connections on which somebody watches events

    def start(self, host: str, port: int) -> int:
        """Returns the port, which is a free one for 0."""
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, port))
        self._listener.listen(100)
        self._accepting.start()
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        """Ends every connection and thread."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() does not
        except OSError:
            pass
        self._accepting.join(DEADLINE)
        self._listener.close()
        self.faults.answering.set()
        self.drop_connections()
        for thread in (*self._commands, *self._transports):
            thread.join(DEADLINE)

    def drop_connections(self) -> None:
        for transport in self._transports:
            transport.close()

    def run(self, channel: paramiko.Channel, command: str, who: Account, environment: dict[str, str]) -> None:
        """Starts a command in a thread of its own."""
        arguments = (channel, command, who, environment)
        thread = threading.Thread(target=self._run, args=arguments, name="stand-in-gerrit-command", daemon=True)
        self._commands = [known for known in self._commands if known.is_alive()]
        self._commands.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # stop() shut the listener
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport = Served(connection)
            transport.add_server_key(self._host_key)
            self._transports = [known for known in self._transports if known.is_alive()]
            self._transports.append(transport)
            try:
                transport.start_server(event=threading.Event(), server=Login(self, transport))
            except paramiko.SSHException as error:
                LOG.info("connection refused: %s", error)

    def _run(self, channel: paramiko.Channel, command: str, who: Account, environment: dict[str, str]) -> None:
        self.faults.said.append(f"{who.username}: {command}")
        self.faults.answering.wait()
        with suppress(OSError, EOFError):  # the client is gone
            try:
                status = self._do(channel, split(command), who, environment)
            except RemoteError as error:
                status = _fail(channel, f"fatal: {error}")
            if status is not None:
                channel.send_exit_status(status)
        with suppress(OSError, EOFError):
            channel.close()

    def _do(self, channel: paramiko.Channel, words: list[str], who: Account, environment: dict[str, str]) -> int | None:
        """Runs a command and returns its exit status; None ends the connection without one."""
        match words:
            case ["gerrit", "version", *_]:
                channel.sendall(f"gerrit version {self.state.recorder.dialect.version}\n".encode())
            case ["gerrit", "ls-projects", *_]:
                channel.sendall("".join(f"{name}\n" for name in self.state.projects()).encode())
            case ["gerrit", "create-project", *options, name]:
                if who.username != "admin":
                    return _fail(channel, "create project not permitted")
                if unknown := [option for option in options if option != "--empty-commit"]:
                    raise Refused(f'"{unknown[0]}" is not a valid option')
                self.create_project(name)
            case ["gerrit", "query", *_] if self.faults.refuse_queries > 0:
                self.faults.refuse_queries -= 1
                return _fail(channel, "fatal: internal server error")
            case ["gerrit", "query", *rest]:
                with self.state.lock:
                    rows = query.answer(rest, self.state.changes.values(), self.state.recorder)
                lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
                channel.sendall("".join(f"{line}\n" for line in lines).encode(errors="replace"))
            case ["gerrit", "review", *rest]:
                with self.state.lock:
                    problems = review.run(self.state, rest, who)
                if self.faults.lose_answer_after_review:
                    self.faults.lose_answer_after_review = False
                    channel.get_transport().close()
                    return None
                channel.sendall_stderr(problems.encode())
                return 1 if problems else 0
            case ["gerrit", "stream-events", *_]:
                if who.username not in PRIVILEGED:
                    return _fail(channel, "stream events not permitted")
                self._stream(channel)
                return None
            case ["git-upload-pack", project]:
                status, said = run_git(
                    self.state.repository(project), ["upload-pack", "."], channel, environment=environment
                )
                channel.sendall_stderr(said.encode())
                return status
            case ["git-receive-pack", project]:
                serve_push(self.state.repository(project), channel, self._taker(project.strip("/"), who))
            case ["gerrit", unknown, *_]:
                raise Refused(f"gerrit: {unknown}: not found")
            case _:
                raise Refused(f"Gerrit Code Review: {' '.join(words[:1])}: not found")
        return 0

    def _stream(self, channel: paramiko.Channel) -> None:
        """Sends events until the client leaves."""
        lines: EventLines = queue.SimpleQueue()
        transport = channel.get_transport()
        sender = threading.Thread(target=_send_lines, args=(channel, lines), name="stand-in-gerrit-events", daemon=True)
        with self.state.lock:
            self.state.listeners.append(lines)
            self.streams.append(transport)
        sender.start()
        channel.event.wait()  # on a server, paramiko sets it when the channel is closed
        with self.state.lock:
            self.state.listeners.remove(lines)
            self.streams.remove(transport)
        lines.put(None)
        channel.close()
        sender.join(DEADLINE)

    def _taker(self, project: str, who: Account) -> Callable[[str, str], tuple[str, list[str]]]:
        def take(ref: str, new: str) -> tuple[str, list[str]]:
            try:
                with self.state.lock:
                    changes = push_ref(self.state, project.removesuffix(".git"), ref, new, who)
            except RemoteError as error:
                return str(error), []
            url = f"{self.state.base_url}c/{project}/+/"
            return "", [f"  {url}{change.number} {change.subject}" for change in changes]

        return take


def _send_lines(channel: paramiko.Channel, lines: EventLines) -> None:
    try:
        while (line := lines.get()) is not None:
            channel.sendall(line.encode(errors="replace") + b"\n")
    except (OSError, EOFError):
        return  # the client is gone; who reads the channel sees that too


def _fail(channel: paramiko.Channel, text: str) -> int:
    channel.sendall_stderr(f"{text}\n".encode())
    return 1


class Served(paramiko.Transport):
    """Runs a command only when the client has been told that it may: a quick one would close the channel before."""

    after_reply: Callable[[], None] | None = None

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]  # paramiko's own, and it has no hook for this
        if self is threading.current_thread() and self.after_reply is not None:
            begin, self.after_reply = self.after_reply, None
            begin()


class Login(paramiko.ServerInterface):
    """Lets people in by their key, one object a connection."""

    def __init__(self, server: Server, transport: Served) -> None:
        self._server = server
        self._transport = transport
        self._environment: dict[int, dict[str, str]] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if self._server.faults.refuse_logins or self._server.user_keys.get(username) != key:
            return AUTH_FAILED
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind != "session":
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return OPEN_SUCCEEDED

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        if name != b"GIT_PROTOCOL":
            return False
        self._environment[channel.get_id()] = {"GIT_PROTOCOL": value.decode(errors="replace")}
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        who = self._server.state.people[self._transport.get_username() or ""]
        environment = self._environment.pop(channel.get_id(), {})
        self._transport.after_reply = lambda: self._server.run(
            channel, command.decode(errors="replace"), who, environment
        )
        return True
