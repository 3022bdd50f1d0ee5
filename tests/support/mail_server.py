"""A mail server that keeps what it is given, and misbehaves as it is told."""

import email
import socketserver
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default


@dataclass
class Delivered:
    """One mail, as the server took it."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.content.replace(b"\r\n", b"\n"), EmailMessage, policy=default)


@dataclass
class Behaviour:
    """What it answers, where that is not the usual thing: command (or recipient) -> line."""

    answers: dict[str, str] = field(default_factory=dict)
    hangs_up_after: str | None = None  # command
    drips: bool = False  # says its greeting one letter at a time, and never ends


class MailServer:
    """Listens on loopback while the context lasts."""

    def __init__(self, port: int = 0) -> None:
        self.mails: list[Delivered] = []
        self.commands: list[str] = []
        self.behaviour = Behaviour()
        outer = self

        class Conversation(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    outer._converse(self)
                except OSError:
                    pass  # the client went away

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._listener = Listener(("127.0.0.1", port), Conversation)
        self.stopping = threading.Event()
        self.port: int = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,))

    def __enter__(self) -> "MailServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    def _converse(self, connection: socketserver.StreamRequestHandler) -> None:
        def say(line: str) -> None:
            connection.wfile.write(line.encode() + b"\r\n")

        if self.behaviour.drips:
            while not self.stopping.wait(0.05):
                connection.wfile.write(b"2")
            return
        say(self.behaviour.answers.get("connect", "220 mail"))
        sender, recipients = "", []
        while command := connection.rfile.readline().decode().strip():
            self.commands.append(command)
            word = command.split(" ")[0].split(":")[0].upper()
            if self.behaviour.hangs_up_after == word:
                return
            argument = command.partition(":")[2]
            special = self.behaviour.answers.get(argument) or self.behaviour.answers.get(word)
            if special:
                say(special)
            elif word == "DATA":
                say("354 go on")
                content = self._content(connection)
                say(self.behaviour.answers.get(".", "250 taken"))
                if "." not in self.behaviour.answers:
                    self.mails.append(Delivered(sender, recipients, content))
                if self.behaviour.hangs_up_after == ".":
                    return
            else:
                if word == "MAIL":
                    sender, recipients = argument.split(">")[0].lstrip("<"), []
                elif word == "RCPT":
                    recipients.append(argument.strip("<>"))
                say("221 bye" if word == "QUIT" else "250 fine")
            if word == "QUIT":
                return

    @staticmethod
    def _content(connection: socketserver.StreamRequestHandler) -> bytes:
        lines = []
        while (line := connection.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)
