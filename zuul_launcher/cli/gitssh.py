"""An `ssh` for git on machines that have none: one command on one server, over paramiko, as the Gerrit shell logs in.

git starts it (GIT_SSH_COMMAND, GIT_SSH_VARIANT=ssh), so beside its own options it takes those that git gives to ssh.
Host keys are checked as for every connection to Gerrit: against known_hosts or a pinned key, and nothing is added.
Exit status: the command's; 255 without any, as ssh does it.
"""

import argparse
import getpass
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import paramiko

from zuul_launcher.errors import RemoteError, RemoteUnavailable
from zuul_launcher.gerrit.hostkeys import HostKeyChanged, HostKeyUnknown
from zuul_launcher.gerrit.ssh import CONNECT_DEADLINE, closed_after, log_in
from zuul_launcher.options import HostName, Port
from zuul_launcher.settings import GerritConnection

# git gives each command a deadline, and ends us with it; this ends sooner when the server is gone.
SILENCE = 60.0  # seconds without an answer to the question whether the server is there
BETWEEN_QUESTIONS = 15.0  # seconds
NO_STATUS = 255
CHUNK = 65536
SEND_ENVIRONMENT = "SendEnv="
BROKEN = (paramiko.SSHException, OSError, EOFError)

Streams = tuple[int, int, int]  # file descriptors of stdin, stdout, stderr


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command on the process's own streams; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.getLogger().addHandler(logging.NullHandler())  # paramiko's complaints are in its errors, too
    user, _, host = options.destination.rpartition("@")
    settings = GerritConnection(
        name="git",
        server=HostName(host),
        user=HostName(user or getpass.getuser()),
        port=Port(options.port),
        sshkey=options.sshkey,
        known_hosts=options.known_hosts,
        host_key=options.host_key,
        keepalive=0,
    )
    client = paramiko.SSHClient()
    try:
        transport = log_in(client, settings)
        channel = begin(transport, os.fsencode(options.command), options.send)
        return converse(channel, (0, 1, 2))
    except (HostKeyUnknown, HostKeyChanged) as error:
        sys.stderr.write(f"{error}\nHost key verification failed.\n")  # the second line: as OpenSSH says it
    except (RemoteError, *BROKEN) as error:
        sys.stderr.write(f"{str(error) or type(error).__name__}\n")
    finally:
        client.close()
    return NO_STATUS


def begin(transport: paramiko.Transport, command: bytes, variables: Sequence[str]) -> paramiko.Channel:
    """Starts a command that is told these environment variables of ours, if the server takes them. Raises BROKEN."""
    with closed_after(CONNECT_DEADLINE, transport.close):
        channel = transport.open_session(timeout=CONNECT_DEADLINE)
        for name in variables:
            if name in os.environ:
                channel.set_environment_variable(name, os.environb[os.fsencode(name)])
        try:
            channel.exec_command(command)
        except paramiko.SSHException:
            # A quick command may have ended before its server confirms that it began; a status says that it ran.
            if channel.exit_status < 0:
                raise
    return channel


def converse(channel: paramiko.Channel, streams: Streams, silence: float = SILENCE) -> int:
    """Lets the command speak to the streams until it ends; its exit status. Raises RemoteUnavailable and OSError.

    `silence`: after so many seconds without a sign of life the server counts as gone.
    """
    given, stdout, stderr = streams
    _thread(lambda: _watch(channel.get_transport(), silence))
    _thread(lambda: _give(given, channel))
    complaints = _thread(lambda: _pass_on(channel.recv_stderr, stderr))
    _pass_on(channel.recv, stdout)
    complaints.join()
    status = channel.recv_exit_status()
    if status < 0:
        raise RemoteUnavailable("the connection was closed before the command ended")
    return status


def _watch(transport: paramiko.Transport, silence: float) -> None:
    """Closes the connection when the server is gone, which ends every wait in it."""
    try:
        while transport.is_active():
            with closed_after(silence, transport.close):
                transport.global_request("keepalive@openssh.com")  # any answer will do
            time.sleep(min(silence, BETWEEN_QUESTIONS))
    except BROKEN:
        transport.close()


def _give(source: int, channel: paramiko.Channel) -> None:
    try:
        while data := os.read(source, CHUNK):
            channel.sendall(data)
        channel.shutdown_write()
    except BROKEN:
        return  # the command has had enough; its status tells


def _pass_on(receive: Callable[[int], bytes], sink: int) -> None:
    while data := receive(CHUNK):
        while data:
            data = data[os.write(sink, data) :]


def _thread(run: Callable[[], None]) -> threading.Thread:
    """Not waited for at the end: it may wait for git to say more."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gitssh", description="an ssh for git, over paramiko", allow_abbrev=False)
    parser.add_argument("--sshkey", type=Path, help="private key; without, what is found as ssh would")
    parser.add_argument("--known-hosts", type=Path, default=Path("~/.ssh/known_hosts").expanduser())
    parser.add_argument("--host-key", metavar="TYPE BASE64", help="known_hosts is not looked at then")
    parser.add_argument("-o", dest="send", type=_sent, action="append", default=[], metavar="SendEnv=NAME")
    parser.add_argument("-p", dest="port", type=int, default=22)
    parser.add_argument("destination", metavar="[USER@]HOST")
    parser.add_argument("command")
    return parser


def _sent(option: str) -> str:
    if not option.startswith(SEND_ENVIRONMENT):
        raise ValueError(option)
    return option.removeprefix(SEND_ENVIRONMENT)


if __name__ == "__main__":
    sys.exit(main())
