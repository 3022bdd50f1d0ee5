"""What came of the story, beside what was to come of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from zuul_launcher.sim.demo_builds import SeenBuild
from zuul_launcher.sim.demo_news import GATE_USER, Landing, reason
from zuul_launcher.sim.demo_play import Changes
from zuul_launcher.sim.demo_stage import Stage
from zuul_launcher.sim.demo_story import AT_ONCE, CHANGES, LANDING, UPDATED, Planned
from zuul_launcher.sim.gerrit.git import git
from zuul_launcher.sim.gerrit.site import Pushed


@dataclass(frozen=True)
class Result:
    """One change at the end."""

    planned: Planned
    id: str
    place: int | None  # in the order of landing, from 1; None: it did not land
    why: str  # the gate's own words, for one that did not
    builds: int  # that were begun, in check and gate
    stopped: int  # of these
    is_as_tested: bool | None  # what landed is the tree that passed; None: it did not land
    failed_at: str = ""  # page of a build in the gate that failed


@dataclass(frozen=True)
class Ending:
    results: tuple[Result, ...]
    order: tuple[str, ...]  # names, as they landed
    builds: int
    stopped: int
    most_at_once: int


def ending(stage: Stage, changes: Changes) -> Ending:
    """Asks Gerrit, the worker and git."""
    names = {pushed.number: name for name, pushed in changes.items()}
    history = stage.worker.look()
    return Ending(
        results=tuple(_result(stage, change, changes[change.name], history) for change in CHANGES),
        order=tuple(names[landed.number] for landed in stage.landings),
        builds=len(history),
        stopped=sum(build.result == "ABORTED" for build in history),
        most_at_once=stage.most_at_once,
    )


def _result(stage: Stage, change: Planned, pushed: Pushed, history: Sequence[SeenBuild]) -> Result:
    own = [build for build in history if build.parameters["ZUUL_CHANGE"] == pushed.number]
    places = [place for place, landed in enumerate(stage.landings, 1) if landed.number == pushed.number]
    place = places[0] if places else None
    failed = [build.url for build in own if build.is_gated and build.result == "FAILURE"]
    return Result(
        planned=change,
        id=pushed.id,
        place=place,
        why="" if place else _why(stage.gerrit.messages(pushed)),
        builds=len(own),
        stopped=sum(build.result == "ABORTED" for build in own),
        is_as_tested=_is_as_tested(stage, stage.landings[place - 1], own) if place else None,
        failed_at=failed[-1] if failed else "",
    )


def _why(messages: Sequence[str]) -> str:
    """From the newest comment that has a lowest vote."""
    told = [text for text in messages if "Verified-2" in text.split("\n")[0]]
    return reason(told[-1]) if told else f"{GATE_USER} did not say"


def _is_as_tested(stage: Stage, landed: Landing, builds: Sequence[SeenBuild]) -> bool:
    """Whether `git diff` between what the last good builds in the gate had, and the branch after landing, is empty."""
    commits = [build.parameters["ZUUL_COMMIT"] for build in builds if build.is_gated and build.result == "SUCCESS"]
    tested = git(stage.folder / "git" / landed.project, "rev-parse", "--verify", f"{commits[-1]}^{{tree}}")
    return tested == git(stage.gerrit.repository(landed.project), "rev-parse", f"{landed.revision}^{{tree}}")


def differences(end: Ending) -> list[str]:
    """What is not as the story wants it, one line each; none: all is well."""
    found = [] if end.order == LANDING else [f"landed in the order {', '.join(end.order)}, not {', '.join(LANDING)}"]
    for result in end.results:
        found += [f"{result.id} {result.planned.title}: {line}" for line in _of_one(result)]
    if end.most_at_once < AT_ONCE:
        found.append(f"no more than {end.most_at_once} changes of the queue were built at the same time")
    return found


def _of_one(result: Result) -> list[str]:
    wanted = result.planned.outcome
    if wanted == "merged":
        lines = [] if result.place else [f"did not land: {result.why}"]
        lines += ["what landed is not what was tested"] if result.is_as_tested is False else []
    else:
        words = {"failed": "unit: FAILURE", "conflict": "Merge Failed. hello.sh"}[wanted]
        lines = ["landed"] if result.place else [] if words in result.why else [f"was turned down for: {result.why}"]
    if result.planned.name == UPDATED and not result.stopped:
        lines.append("no build of it was stopped")
    return lines
