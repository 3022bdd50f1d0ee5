"""Which workers can do a function, and which of them are asleep: read at each submission, so both are indexed."""

from collections.abc import Set as AbstractSet

from zuul_launcher.gearman.server.job import Peer


class Abilities:
    """The functions of all workers, and the sleeping workers in the order in which they fell asleep."""

    def __init__(self) -> None:
        self._able: dict[bytes, set[Peer]] = {}
        self._asleep: dict[Peer, int] = {}
        self._sleeps = 0

    def add(self, peer: Peer, function: bytes, seconds: float) -> None:
        peer.functions[function] = seconds
        self._able.setdefault(function, set()).add(peer)

    def remove(self, peer: Peer, function: bytes) -> None:
        """A function that the worker does not have is no error (gear's server closes the connection there)."""
        if peer.functions.pop(function, None) is None:
            return
        able = self._able[function]
        able.discard(peer)
        if not able:
            del self._able[function]

    def clear(self, peer: Peer) -> None:
        for function in list(peer.functions):
            self.remove(peer, function)

    def sleep(self, peer: Peer) -> None:
        self._sleeps += 1
        self._asleep[peer] = self._sleeps
        peer.asleep = True

    def wake(self, peer: Peer) -> None:
        self._asleep.pop(peer, None)
        peer.asleep = False

    def sleeper(self, function: bytes) -> Peer | None:
        """Of the sleeping workers that can do it the one that has slept longest: so work spreads over all of them."""
        able: AbstractSet[Peer] = self._able.get(function, set())
        return min(able & self._asleep.keys(), key=self._asleep.__getitem__, default=None)

    def count(self, function: bytes) -> int:
        return len(self._able.get(function, ()))

    def functions(self) -> set[bytes]:
        return set(self._able)
