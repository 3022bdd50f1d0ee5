"""Many connections to one server: when it goes away, that is said once, not once a connection."""

import logging
import threading

from zuul_launcher.gearman.link import Link

log = logging.getLogger("zuul_launcher.worker.queue")


class Outage:
    """Which connections are out. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: set[Link] = set()

    def began(self, link: Link, reason: str) -> None:
        with self._lock:
            is_first = not self._out
            self._out.add(link)
        if is_first:
            log.warning("%s: no connection to Gearman server %s (%s), trying again", link.name, link.address, reason)

    def ended(self, link: Link) -> None:
        """The link is connected, or of no interest any more."""
        with self._lock:
            was_last = self._out == {link}
            self._out.discard(link)
        if was_last:
            log.info("%s: all connections to Gearman server %s are back", link.name, link.address)
