"""All that goes over Gearman, on one connection and one listener: builds, merges, and requests of administrators."""

import threading
from collections.abc import Callable, Mapping

from zuul_launcher.gearman.builds import Builds
from zuul_launcher.gearman.client import Client
from zuul_launcher.gearman.merges import Merges
from zuul_launcher.gearman.rpc import Listener
from zuul_launcher.model.actions import Answer
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import State
from zuul_launcher.service.desks import GearmanDesk, MergerDesk, to_resume
from zuul_launcher.service.inbox import Inbox
from zuul_launcher.service.intake import Intake
from zuul_launcher.service.loop import load_layout
from zuul_launcher.service.outlet import Outlet
from zuul_launcher.service.payload import GEARMAN, MERGER
from zuul_launcher.service.replies import Replies
from zuul_launcher.service.requests import Requests
from zuul_launcher.service.storage import Storage
from zuul_launcher.service.threads import Crew
from zuul_launcher.settings import Gearman


class GearmanSide:
    """Call `resume`, then `start`; `stop` after `stopping` is set."""

    def __init__(
        self,
        settings: Gearman,
        storage: Storage,
        inbox: Inbox,
        *,
        intakes: Mapping[str, Intake],
        layout: Callable[[], Layout],
        running_jobs: Callable[[], bytes],
        clock: Callable[[], float],
        stopping: threading.Event,
    ) -> None:
        server, port = settings.address
        self.address = f"{server}:{port}"
        self._engine = storage.engine
        self._stopping = stopping
        self._client = Client(server, port)
        self._client.subscribe(lambda _: inbox.wake())  # the page is to tell of it
        replies = Replies(inbox)
        check = settings.check_job_registration
        self._builds = Builds(self._client, replies.post, clock, check_registration=check)
        merges = Merges(self._client, replies.post, clock)
        self._merger = Outlet(storage.engine, storage.token, MERGER, clock, inbox)
        self._merger.perform = MergerDesk(merges, replies, self._merger.settle).perform
        self._gearman = Outlet(storage.engine, storage.token, GEARMAN, clock, inbox)
        self._desk = GearmanDesk(
            storage.engine,
            storage.token,
            self._builds,
            replies,
            self._gearman.settle,
            lambda hash: load_layout(storage.engine, hash),
            clock,
        )
        self._gearman.perform = self._desk.perform
        self._listener = Listener(server, port, lambda *request: self._requests.receive(*request))
        self._requests = Requests(inbox, intakes, layout, running_jobs, self._listener.answer, clock)

    @property
    def outlets(self) -> tuple[Outlet, Outlet]:
        return self._merger, self._gearman

    @property
    def trouble(self) -> str | None:
        return None if self._client.connected else f"no connection to Gearman server {self.address}"

    def answered(self, answer: Answer) -> None:
        self._requests.answered(answer)

    def resume(self, state: State) -> None:
        """Take up the builds that an earlier process left open."""
        self._builds.resume(to_resume(self._engine, state, self._gearman.launching()))

    def start(self, crew: Crew) -> None:
        self._client.start()
        self._builds.start()
        self._listener.start()
        crew.start("merges", lambda: self._merger.run(self._stopping))
        crew.start("builds", lambda: self._gearman.run(self._stopping))

    def stop(self) -> None:
        self._listener.stop()
        self._client.stop()
        for outlet in self.outlets:
            outlet.awake.set()
        self._desk.stop()
