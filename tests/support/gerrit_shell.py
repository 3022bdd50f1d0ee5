"""What tests of the Gerrit shell share: zuul.conf for a site, and a proxy that can fall silent."""

import socket
import threading
from pathlib import Path

from zuul_launcher.settings import GerritConnection
from zuul_launcher.sim.gerrit.site import GerritSite

DEADLINE = 60.0  # seconds, generous


def connection(site: GerritSite, directory: Path, username: str = "zuul", **more: object) -> GerritConnection:
    """What zuul.conf says about a site."""
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(site.known_hosts_line() + "\n")
    values = {"port": site.port, "sshkey": site.key_file(username), "known_hosts": known_hosts, **more}
    return GerritConnection(name="gerrit", server=site.host, user=username, baseurl="http://review", **values)


class Proxy:
    """Stands between a client and a server, and can stop passing anything on without closing."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.passed = 0  # pieces
        self._sockets: list[socket.socket] = [self._listener]
        self._is_passing = threading.Event()
        self._is_passing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._is_passing.clear()

    def thaw(self) -> None:
        self._is_passing.set()

    def close(self) -> None:
        self.thaw()
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._sockets += [client, server]
            self.connections += 1
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._is_passing.wait()
                sink.sendall(data)
                self.passed += 1
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
