"""Gerrit, the mergers and the workers in one deterministic object, without I/O: payloads go in, events come out.

Nothing happens by itself: whoever plays decides which merge, build or report is next, and how it ends. A tree is
known by the changes that are in it, so that "what lands is what was tested" can be checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from zuul_launcher.model.change import Account, Approval, Change, Ref, SubmitRecord
from zuul_launcher.model.events import AnyEvent, BuildFinished, BuildQueued, Merged, Reported, Trigger, Triggered
from zuul_launcher.service.payload import (
    CancelPayload,
    LaunchPayload,
    MergePayload,
    Payload,
    ReportPayload,
)

CONNECTION = "gerrit"
Place = tuple[str, str]  # project, branch
Tree = Mapping[Place, frozenset[str]]  # the changes in each branch, by key


@dataclass(frozen=True)
class PlayedChange:
    number: str
    project: str
    patchset: int = 1
    status: str = "NEW"
    approved: bool = True
    depends: tuple[str, ...] = ()  # `N`: by a footer, whatever its patch set; `N,P`: by git
    branch: str = "main"
    files: tuple[str, ...] = ("/COMMIT_MSG", "file")
    votes: tuple[Approval, ...] = ()

    @property
    def place(self) -> Place:
        return self.project, self.branch

    @property
    def key(self) -> str:
        return f"{CONNECTION}:{self.number},{self.patchset}"

    @property
    def id(self) -> str:
        return f"{self.number},{self.patchset}"


@dataclass(frozen=True)
class PlayedBuild:
    """A job in the queue of the Gearman server, or with a worker."""

    payload: LaunchPayload
    ended: bool = False
    result: str | None = None
    cancelled: bool = False

    @property
    def changes(self) -> str:
        """What it is run on: `1,1 2,1`; of a ref, its new revision."""
        told = self.payload.parameters
        return str(told.get("ZUUL_CHANGE_IDS") or told.get("ZUUL_NEWREV"))


@dataclass(frozen=True)
class Landing:
    """A change that was submitted: what it was tested with, what was there just before, what it needs was missing."""

    key: str
    place: Place
    tested: Tree | None
    before: Tree
    missing: tuple[str, ...]


@dataclass
class PlayedWorld:
    changes: dict[str, PlayedChange] = field(default_factory=dict)
    landed: list[PlayedChange] = field(default_factory=list)
    landings: list[Landing] = field(default_factory=list)
    conflicts: set[frozenset[str]] = field(default_factory=set)  # pairs of numbers
    broken: set[tuple[str, str]] = field(default_factory=set)  # (job, number): it fails where that change is in
    unwanted: set[str] = field(default_factory=set)  # numbers that Gerrit will not submit
    trees: dict[tuple[str, int], Tree] = field(default_factory=dict)  # (item, attempt) -> what was prepared for it
    builds: dict[str, PlayedBuild] = field(default_factory=dict)
    comments: list[ReportPayload] = field(default_factory=list)

    # What people do

    def upload(
        self, project: str, *, depends: tuple[str, ...] = (), approved: bool = True, **facts: object
    ) -> PlayedChange:
        number = str(len(self.changes) + 1)
        change = PlayedChange(number, project, depends=depends, approved=approved)
        self.changes[number] = replace(change, **facts)  # type: ignore[arg-type]
        return self.changes[number]

    def update(self, number: str, **facts: object) -> PlayedChange:
        """Change something about a change: a new patch set, abandon it, approve it."""
        self.changes[number] = replace(self.changes[number], **facts)  # type: ignore[arg-type]
        return self.changes[number]

    def tell(
        self, number: str, type_: str, at: float, *, votes: tuple[Approval, ...] = (), by: Account | None = None
    ) -> Triggered:
        """The event of this type about a change, as the resolver would hand it in."""
        change = self.changes[number]
        trigger = Trigger(
            connection=CONNECTION,
            type=type_,
            project=change.project,
            branch=change.branch,
            number=number,
            patchset=str(change.patchset),
            approvals=votes,
            account=by,
        )
        return Triggered(at=at, trigger=trigger, subject=change.key, facts=self.facts(number))

    def tell_update(self, project: str, ref: str, newrev: str, at: float) -> Triggered:
        """The event about a branch or tag that was pushed to."""
        subject = Ref(connection=CONNECTION, project=project, ref=ref, oldrev="1" * 40, newrev=newrev)
        trigger = Trigger(
            connection=CONNECTION, type="ref-updated", project=project, ref=ref, oldrev=subject.oldrev, newrev=newrev
        )
        return Triggered(at=at, trigger=trigger, subject=subject.key, facts=(subject,))

    def facts(self, number: str) -> tuple[Change, ...]:
        """The change, with all that it needs and all that need it."""
        seen: dict[str, Change] = {}
        todo = [number]
        while todo:
            change = self._needed(todo.pop(0))
            if change.id not in seen:
                seen[change.id] = self.fact(change)
                todo += [*change.depends, *self._needed_by(change)]
        return tuple(seen.values())

    def fact(self, change: PlayedChange) -> Change:
        approved = SubmitRecord(status="NOT_READY", labels={"Verified": "NEED", "Approved": "OK"})
        missing = SubmitRecord(status="NOT_READY", labels={"Verified": "NEED", "Approved": "NEED"})
        needs = [self._needed(name) for name in change.depends]
        return Change(
            connection=CONNECTION,
            project=change.project,
            branch=change.branch,
            number=change.number,
            patchset=str(change.patchset),
            ref=f"refs/changes/{change.number}/{change.patchset}",
            status=change.status,
            open=change.status == "NEW",
            current=change.patchset == self.changes[change.number].patchset,
            approvals=change.votes,
            files=change.files,
            submit_records=(approved if change.approved else missing,),
            needs=tuple(other.key for other in needs if other.status != "MERGED"),
            needed_by=tuple(self.changes[number].key for number in self._needed_by(change)),
        )

    def _needed(self, name: str) -> PlayedChange:
        number, _, patchset = name.partition(",")
        change = self.changes[number]
        return replace(change, patchset=int(patchset)) if patchset else change

    def _needed_by(self, change: PlayedChange) -> list[str]:
        return [
            other.number
            for other in self.changes.values()
            if {change.number, change.id} & set(other.depends) and other.status == "NEW" and change.status == "NEW"
        ]

    # What the gate asks for

    def take(self, payload: Payload, at: float) -> list[AnyEvent]:
        """Begin to do something. Merges, builds and reports end when they are told to."""
        match payload:
            case LaunchPayload():
                known = self.builds.setdefault(payload.build, PlayedBuild(payload))
                if known.ended:
                    return []
                return [
                    BuildQueued(
                        at=at,
                        item=payload.item,
                        attempt=payload.attempt,
                        build=payload.build,
                        handle=f"H:{payload.build[:8]}",
                    )
                ]
            case CancelPayload():
                if payload.build in self.builds:
                    self.builds[payload.build] = replace(self.builds[payload.build], ended=True, cancelled=True)
                return []
            case _:
                return []

    def merge(self, payload: MergePayload, at: float) -> Merged:
        """A merger has done its work: on the branches as they are now."""
        tree: dict[Place, frozenset[str]] = {}
        landed = self._branches()
        present = {change.number for change in self.landed}
        fits = True
        for item in payload.arguments.get("items", ()):
            number, place = item["number"], (item["project"], item["branch"])
            tree.setdefault(place, landed.get(place, frozenset()))
            fits = fits and not any(frozenset((number, other)) in self.conflicts for other in present)
            present.add(number)
            tree[place] |= {f"{CONNECTION}:{number},{item['patchset']}"}
        if not fits:
            return Merged(at=at, item=payload.item, attempt=payload.attempt, commit=None, ok=False, conflicts=("file",))
        self.trees[payload.item, payload.attempt] = tree
        return Merged(at=at, item=payload.item, attempt=payload.attempt, commit=repr(sorted(tree)), ok=True)

    def outcome(self, uuid: str) -> str:
        """How a build ends by itself."""
        build = self.builds[uuid]
        numbers = [change.split(",")[0] for change in build.changes.split()]
        broken = any((build.payload.job, number) in self.broken for number in numbers)
        return "FAILURE" if broken else "SUCCESS"

    def finish(self, uuid: str, result: str | None, at: float) -> BuildFinished:
        """A worker has ended a build."""
        payload = self.builds[uuid].payload
        self.builds[uuid] = replace(self.builds[uuid], ended=True, result=result)
        return BuildFinished(at=at, item=payload.item, attempt=payload.attempt, build=uuid, result=result)

    def report(self, payload: ReportPayload, at: float) -> Reported:
        """Gerrit has taken a report; a submit lands if the change still is what it was."""
        merged = False
        if isinstance(payload.subject, Change):
            change = self.changes[payload.subject.number]
            if not self._was_said(payload):
                self.comments.append(payload)
            if payload.submit and change.key == payload.subject.key:
                merged = change.status == "MERGED" or self._submit(payload, change)
        return Reported(at=at, item=payload.item, attempt=payload.attempt, verdict=payload.verdict, merged=merged)

    def _was_said(self, payload: ReportPayload) -> bool:
        return any(
            said.item == payload.item and said.verdict == payload.verdict and said.attempt == payload.attempt
            for said in self.comments
        )

    def _submit(self, payload: ReportPayload, change: PlayedChange) -> bool:
        """Gerrit looks after parents in git only, not after footers."""
        needed = {name: self._needed(name) for name in change.depends}
        missing = [
            name for name, other in needed.items() if self.changes[other.number] != replace(other, status="MERGED")
        ]
        if change.status != "NEW" or not change.approved or change.number in self.unwanted:
            return False
        if any("," in name for name in missing):
            return False
        tested = self.trees.get((payload.item, payload.attempt))
        self.landings.append(Landing(change.key, change.place, tested, self._branches(), tuple(missing)))
        change = self.update(change.number, status="MERGED")
        self.landed.append(change)
        return True

    def _branches(self) -> dict[Place, frozenset[str]]:
        """What has landed where."""
        found: dict[Place, frozenset[str]] = {}
        for change in self.landed:
            found[change.place] = found.get(change.place, frozenset()) | {change.key}
        return found

    def running(self) -> list[str]:
        """Builds that have not ended, oldest first."""
        return [uuid for uuid, build in self.builds.items() if not build.ended]
