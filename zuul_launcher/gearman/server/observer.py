"""Who is told what a server does, to measure it. Nobody, unless the program that runs it hands somebody in."""


class Observer:
    """Called in the server's own thread, so it may not wait for anything."""

    def packet(self, name: str, seconds: float) -> None:
        """A packet of this type came from a peer, and was dealt with in so many seconds."""

    def jobs(self, waiting: int, running: int) -> None:
        """So many jobs there are now. Told some time after anything happened, not for each change."""
