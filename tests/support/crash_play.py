"""Plays the scheduler against the stand-in world on one thread, and lets it die wherever it can.

Real are the loop, the database (SQLite), the outlets and their desks. Played are people, Gerrit, mergers and workers:
they live on when the scheduler dies. What it knew is gone then; a new one begins from the database, as
`service/app.py` does. Chance comes from the seed alone, so a seed that fails fails again: `tests/service/crash.py`.
"""

import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, text
from support import gate_layouts
from support.crash import Crash, Dice, Outside, PlayedBuilds, PlayedGerrit, PlayedMerges, open_database

from zuul_launcher.db import history, journal, lease, outbox
from zuul_launcher.db.engine import reading
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.gate.step import step
from zuul_launcher.layout.load import content_hash
from zuul_launcher.model.actions import AnyAction, Report
from zuul_launcher.model.events import AnyEvent, BuildFinished, BuildLost, LayoutLoaded, Triggered, WorkerData
from zuul_launcher.model.queue import State
from zuul_launcher.service.desks import GearmanDesk, MergerDesk, to_resume
from zuul_launcher.service.inbox import Envelope, Inbox
from zuul_launcher.service.loop import Loop, Outward, hash_of, load_layout, parameters_of
from zuul_launcher.service.outlet import Delivered, Delivery, Outlet
from zuul_launcher.service.payload import GEARMAN, MERGER, World, gerrit_target
from zuul_launcher.service.replies import Replies
from zuul_launcher.service.reporting import ReportDesk
from zuul_launcher.service.storage import Storage, prepare
from zuul_launcher.settings import Zuul
from zuul_launcher.sim.world import CONNECTION, PlayedChange

LAYOUT = gate_layouts.gate_layout()
LAYOUT_HASH = content_hash(LAYOUT)
PATIENCE = 5000  # things that may happen until all has come to rest
MOST_CRASHES = 6  # after so many all goes well, so that it ends
SOURCE = gerrit_target(CONNECTION)


class Hurry(threading.Event):
    """Nobody waits for a database that is away: it is back at once."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Process:
    """One life of the scheduler, from its start: everything in it is gone when it dies."""

    def __init__(self, engine: Engine, outside: Outside, epoch: str) -> None:
        token = lease.acquire(engine, "played", outside.at, 1e9, others_dead=True)
        assert token is not None
        if journal.load(engine).snapshot is None:
            state = msgspec.json.encode(State(epoch=epoch))
            journal.put_snapshot(engine, token, journal.Snapshot(sequence=0, at=outside.at, layout="", state=state))
        prepare(Storage(engine, token, None, None), LAYOUT, LAYOUT_HASH, outside.at)
        self.engine = engine
        self.outside = outside
        self._token = token
        self.inbox = Inbox()
        self.replies = Replies(self.inbox)
        self.builds = PlayedBuilds(outside, self.replies.post)
        self.outlets = [
            Outlet(engine, token, target, outside.clock, self.inbox) for target in (MERGER, GEARMAN, SOURCE)
        ]
        self._furnish(*self.outlets)
        urls = {CONNECTION: lambda project: f"ssh://gerrit/{project}"}
        world = World(zuul=Zuul(), urls=urls, parameters=parameters_of(engine))
        self.loop = Loop(engine, token, world, Outward(rows=lambda targets: None, answer=lambda answer: None), Hurry())
        self._begin()

    def _furnish(self, merger: Outlet, gearman: Outlet, gerrit: Outlet) -> None:
        merger.perform = MergerDesk(PlayedMerges(self.outside), self.replies, merger.settle).perform
        gearman.perform = GearmanDesk(
            self.engine,
            self._token,
            self.builds,
            self.replies,
            gearman.settle,
            lambda name: load_layout(self.engine, name),
            self.outside.clock,
        ).perform
        told = PlayedGerrit(self.outside)
        desk = ReportDesk({CONNECTION: told}, self.inbox, self.outside.clock)

        def report(delivery: Delivery) -> Delivered:
            told.payload = delivery.payload
            return desk.perform(delivery)

        gerrit.perform = report

    def _begin(self) -> None:
        """What `Scheduler` does before it works."""
        if self.loop.state.layout != LAYOUT_HASH:
            self.loop.take(Envelope(LayoutLoaded(at=self.outside.at, layout=LAYOUT_HASH), layout=LAYOUT))
        for request in to_resume(self.engine, self.loop.state, self.outlets[1].launching()):
            self.builds.launch(request)
        stored = journal.all_received(self.engine)
        for line in stored:
            self._resolve(line.id, line.payload)
        known = {line.payload for line in stored}
        self.outside.missed = [payload for payload in self.outside.missed if payload not in known]
        self.catch_up()

    def catch_up(self) -> None:
        """Receive what Gerrit told while nobody listened."""
        while self.outside.missed:
            payload = self.outside.missed[0]
            number = self._receive(payload)
            del self.outside.missed[0]
            self.outside.dice.crash("between receive and step")
            self._resolve(number, payload)

    def _receive(self, payload: bytes) -> int:
        while True:
            try:
                return journal.receive(self.engine, self._token, SOURCE, payload, self.outside.at)
            except RemoteUnavailable:
                continue

    def _resolve(self, number: int, payload: bytes) -> None:
        _, about, type_ = json.loads(payload)
        self.inbox.put(Envelope(self.outside.world.tell(about, type_, self.outside.at), received=(number,)))

    def step(self) -> AnyEvent | None:
        """Take one event, if there is any."""
        envelope = self.inbox.take(0)
        if envelope is None:
            return None
        self.loop.take(envelope)
        if isinstance(envelope.event, BuildFinished):
            self.outside.results.pop(envelope.event.build, None)
        return envelope.event


class Play:
    """`run` lets things happen in the order that the seed gives, and checks the end."""

    def __init__(
        self, seed: int, template: bytes, folder: Path, say: Callable[[str], None] = lambda line: None
    ) -> None:
        """`template`: an empty database with all tables."""
        self._epoch = uuid.UUID(int=seed).hex  # so that all ids come from the seed
        self.chance = random.Random(seed)
        self.say = say
        self.dice = Dice(self.chance, say)
        self.outside = Outside(self.dice)
        self.world = self.outside.world
        self.path = folder / f"{seed}.sqlite"
        self.path.write_bytes(template)
        self.told: Counter[tuple[str, str]] = Counter()  # (change, event): what Gerrit said
        self._process: Process | None = None
        self._engine: Engine | None = None

    @property
    def crashes(self) -> int:
        return sum(count for point, count in self.dice.struck.items() if point.startswith("crash"))

    def run(self, events: int = 24) -> None:
        try:
            for _ in range(events):
                self.something_happens()
            for _ in range(PATIENCE):
                self.dice.on = self.crashes < MOST_CRASHES
                if self.is_at_rest():
                    break
                self.work_goes_on()
            else:
                raise AssertionError("it does not come to rest")
            self.dice.on = False
            Ending(self).check()
        finally:
            self._close()

    def process(self) -> Process:
        """The living one, started if there is none."""
        if self._process is None:
            self._close()
            self.say("-- a new process")
            self._engine = open_database(self.path, self.dice)
            self._process = Process(self._engine, self.outside, self._epoch)
        return self._process

    def _close(self) -> None:
        self._process = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _survive(self, act: Callable[[], object]) -> None:
        """Do it; if the process dies of it, nothing of that process is left."""
        self.outside.at += 1.0
        try:
            act()
        except Crash:
            self._close()
        except RemoteUnavailable as error:
            self.say(f"   put off: {error}")

    # What may happen

    def something_happens(self) -> None:
        people = [self.somebody_uploads] * 3 + [self.somebody_uploads_again, self.somebody_abandons]
        if self.chance.randrange(4) == 0:
            self._survive(self.chance.choice(people))
        self.work_goes_on()

    def work_goes_on(self) -> None:
        works: list[Callable[[], object]] = [self.turn] * 6 + [self.step] * 8 + [self.rest]
        works += [self.merge] * 4 if self.outside.merges else []
        works += [self.begin] * 2 + [self.end] * 4 if self.world.running() else []
        self._survive(lambda: self.dice.crash("while idle"))
        self._survive(self.chance.choice(works))

    def tell(self, number: str, type_: str) -> None:
        """Gerrit sends an event; if nobody is there to receive it, it is read later."""
        change = self.world.changes[number]
        self.say(f"Gerrit: {type_} of {change.key}")
        self.told[change.key, type_] += 1
        self.outside.missed.append(json.dumps([self.told.total(), number, type_]).encode())
        self.process().catch_up()

    def somebody_uploads(self) -> None:
        others = self._open_changes()
        needed = (self.chance.choice(others).number,) if others and self.chance.randrange(3) == 0 else ()
        change = self.world.upload(self.chance.choice("AABBC"), depends=needed)
        if self.chance.randrange(5) == 0:
            self.world.broken.add(("unit", change.number))
        if others and self.chance.randrange(8) == 0:
            self.world.conflicts.add(frozenset((change.number, self.chance.choice(others).number)))
        self.tell(change.number, "comment-added")

    def somebody_uploads_again(self) -> None:
        if others := self._open_changes():
            change = self.chance.choice(others)
            self.world.update(change.number, patchset=change.patchset + 1)
            self.tell(change.number, "patchset-created")

    def somebody_abandons(self) -> None:
        if others := self._open_changes():
            change = self.chance.choice(others)
            self.world.update(change.number, status="ABANDONED")
            self.tell(change.number, "change-abandoned")

    def _open_changes(self) -> list[PlayedChange]:
        return [change for change in self.world.changes.values() if change.status == "NEW"]

    def step(self) -> None:
        if event := self.process().step():
            self.say(f"step: {type(event).__name__} {getattr(event, 'item', '')} {getattr(event, 'subject', '')}")

    def rest(self) -> None:
        """Nothing was to do for a while."""
        self.process().loop.store_snapshot()

    def turn(self) -> None:
        outlet = self.chance.choice(self.process().outlets)
        outlet.turn()

    def merge(self) -> None:
        payload = self.outside.merges.pop(self.chance.randrange(len(self.outside.merges)))
        self.say(f"merger: {payload.item} attempt {payload.attempt}")
        self.process().replies.post(self.world.merge(payload, self.outside.at))

    def begin(self) -> None:
        """A worker takes a build, and says its number."""
        waiting = [uuid for uuid in self.world.running() if uuid not in self.outside.started]
        if waiting:
            number = len(self.outside.started) + 1
            self.outside.started[waiting[0]] = WorkerData(number=number, manager="w1", url=f"http://w1/{number}")
            self.process().builds.started(waiting[0])

    def end(self) -> None:
        running = [uuid for uuid in self.world.running() if uuid in self.outside.started]
        if not running:
            self.begin()
            return
        uuid = self.chance.choice(running)
        bare = self.world.finish(uuid, self.world.outcome(uuid), self.outside.at)
        finished = msgspec.structs.replace(bare, data=self.outside.started[uuid])
        self.outside.results[uuid] = finished
        self.say(f"worker: {self.world.builds[uuid].payload.job} of {finished.item}: {finished.result}")
        self.process().builds.finished(finished)

    def is_at_rest(self) -> bool:
        process = self._process
        if process is None:
            return False
        waits = any(process.inbox.lengths()) or self.outside.merges or self.outside.missed
        return not (process.loop.state.items or waits or outbox.pending(process.engine))


class Ending:
    """What must hold when all has come to rest."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.outside = play.outside
        self.process = play.process()
        self.engine = self.process.engine
        with reading(self.engine) as connection:
            lines = connection.execute(text("SELECT event, actions_hash FROM journal ORDER BY sequence")).all()
        self.events = [msgspec.json.decode(line.event, type=AnyEvent) for line in lines]
        self.hashes = [line.actions_hash for line in lines]

    def check(self) -> None:
        self.what_lands_is_what_was_tested()
        self.every_event_of_gerrit_was_stepped_once()
        actions = self.the_journal_gives_the_same_again()
        self.everything_was_said_once(actions)
        self.every_build_ran_once()
        self.history_agrees_with_the_world()
        assert not journal.all_received(self.engine)
        assert not journal.all_parked(self.engine)

    def what_lands_is_what_was_tested(self) -> None:
        landings = self.outside.world.landings
        keys = [landing.key for landing in landings]
        assert len(keys) == len(set(keys)), f"landed twice: {keys}"
        for landing in landings:
            assert landing.tested is not None, f"{landing.key} landed without a test"
            for place, tested in landing.tested.items():
                before = landing.before.get(place, frozenset())
                after = before | {landing.key} if place == landing.place else before
                assert tested == after, f"{landing.key}: {place} was tested as {tested} and landed on {before}"

    def every_event_of_gerrit_was_stepped_once(self) -> None:
        stepped = Counter((one.subject, one.trigger.type) for one in self.events if isinstance(one, Triggered))
        assert stepped.total() == self.play.told.total()

    def the_journal_gives_the_same_again(self) -> list[AnyAction]:
        state = State(epoch=self.process.loop.state.epoch)
        all_actions: list[AnyAction] = []
        for number, (one, expected) in enumerate(zip(self.events, self.hashes, strict=True), 1):
            actions = step(state, LAYOUT, one)
            assert hash_of(actions) == expected, f"step {number}"
            all_actions += actions
        assert state == self.process.loop.state
        return all_actions

    def everything_was_said_once(self, actions: list[AnyAction]) -> None:
        decided = Counter((one.item, one.verdict) for one in actions if isinstance(one, Report))
        reporters = {"start": "gate"}
        said = Counter((one.payload.item, one.payload.verdict) for one in self.outside.said)
        pipelines = {row.item: row.pipeline for row in self._rows("buildset")}
        silent = {one for one in decided if one[1] == "start" and pipelines.get(one[0]) != reporters["start"]}
        assert said == Counter({one: count for one, count in decided.items() if one not in silent})
        results = Counter(item for item, verdict in said.elements() if verdict != "start")
        assert all(count == 1 for count in results.values()), results

    def every_build_ran_once(self) -> None:
        assert all(count == 1 for count in self.outside.requests.values()), self.outside.requests
        assert not [one for one in self.events if isinstance(one, BuildLost)]
        runs = Counter((row.item, row.attempt, row.job) for row in self._rows("build"))
        assert all(count == 1 for count in runs.values()), runs

    def history_agrees_with_the_world(self) -> None:
        assert not history.open_builds(self.engine)
        stored = {row.uuid: history.one_build(self.engine, row.uuid) for row in self._rows("build")}
        assert set(self.outside.world.builds) <= set(stored)
        for name, row in stored.items():
            assert row is not None
            if row.result == "CANCELED":
                continue
            build, said = self.outside.world.builds[name], self.outside.started[name]
            assert (row.result, row.handle) == (build.result, f"H:{name[:8]}")
            assert (row.manager, row.number, row.url) == (said.manager, said.number, said.url)
            assert None not in (row.started_at, row.ended_at, row.parameters)

    def _rows(self, table: str) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(text(f"SELECT * FROM {table}")))
