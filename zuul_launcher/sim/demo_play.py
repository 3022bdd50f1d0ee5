"""Plays the story on a stage: people upload, approve and upload again, at a pace that one can follow."""

import time
from collections.abc import Callable, Container, Iterable
from functools import partial

from zuul_launcher.sim.demo_jobs import hold
from zuul_launcher.sim.demo_news import GATE_USER
from zuul_launcher.sim.demo_stage import Display, Stage
from zuul_launcher.sim.demo_story import APPROVALS, CHANGES, UPDATED, message, planned
from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.site import wait_until

UPLOAD_PAUSE = 0.8  # seconds between two people's acts
APPROVAL_PAUSE = 0.6
READING_PAUSE = 2.0  # for the lines that say what comes next
STEP_SECONDS = 240.0
LOST_SECONDS = 20.0  # without an answer of the pages
CHECKED, DECIDED = (1,), (-2, 2)  # votes after check and after gate

Changes = dict[str, Pushed]  # by name, the newest patch set


def play(stage: Stage, display: Display) -> Changes:
    """Until everything is decided. Raises TimeoutError and RuntimeError, with what did not happen."""
    display.say("— People upload eleven changes; each patch set is tested by itself, in the pipeline “check”.")
    time.sleep(READING_PAUSE)
    changes = _upload(stage)
    hold(stage.folder, "gate", changes[UPDATED].id).touch()
    _wait_for_votes(stage, changes.values(), CHECKED)
    display.say("— All pass. People approve them; “gate” tests each on top of those ahead of it, all at once.")
    time.sleep(READING_PAUSE)
    for name in APPROVALS:
        _approve(stage, changes[name], name)
        time.sleep(APPROVAL_PAUSE)
    display.say(f"— {changes[UPDATED].id} is about to get a new patch set while it is built.")
    _wait(stage, lambda: _is_built(stage, changes[UPDATED]), f"builds of {changes[UPDATED].id}")
    change = planned(UPDATED)
    changes[UPDATED] = stage.gerrit.push_patch_set(changes[UPDATED], change.second, username=change.owner)
    _wait_for_votes(stage, [changes[UPDATED]], CHECKED)
    _approve(stage, changes[UPDATED], UPDATED)
    _wait_for_votes(stage, changes.values(), DECIDED)
    _wait(stage, lambda: not stage.site.items(), "empty queues")
    merged = [pushed for pushed in changes.values() if stage.gerrit.status(pushed) == "MERGED"]
    _wait(stage, lambda: len(stage.landings) >= len(merged), "Gerrit's events")
    _wait(stage, lambda: not any(build.is_building for build in stage.builds), "the end of all builds")
    return changes


def _upload(stage: Stage) -> Changes:
    changes: Changes = {}
    for change in CHANGES:
        text = message(change, {name: pushed.change_id for name, pushed in changes.items()})
        changes[change.name] = stage.gerrit.push_change(
            change.project, "master", change.files, text, username=change.owner
        )
        time.sleep(UPLOAD_PAUSE)
    return changes


def _approve(stage: Stage, pushed: Pushed, name: str) -> None:
    """Whoever did not write it."""
    reviewer = "ben" if planned(name).owner == "ann" else "ann"
    stage.gerrit.vote(pushed, "Code-Review", 2, username=reviewer)


def _wait_for_votes(stage: Stage, changes: Iterable[Pushed], wanted: Container[int]) -> None:
    """Until the gate has given each of them one of these votes."""
    for pushed in changes:
        _wait(stage, partial(_has_vote, stage, pushed, wanted), f"the vote on {pushed.id}")


def _has_vote(stage: Stage, pushed: Pushed, wanted: Container[int]) -> bool:
    return stage.gerrit.votes(pushed).get("Verified", {}).get(GATE_USER, 0) in wanted


def _is_built(stage: Stage, pushed: Pushed) -> bool:
    return any(
        build.is_building and build.is_gated and build.parameters["ZUUL_CHANGE"] == pushed.number
        for build in stage.builds
    )


def _wait(stage: Stage, question: Callable[[], bool], what: str) -> None:
    """Until the answer is yes. Raises TimeoutError; RuntimeError: the scheduler is no longer there."""

    def is_over() -> bool:
        if time.monotonic() - stage.seen_at > LOST_SECONDS:
            raise RuntimeError(f"the pages do not answer any more; waited for {what}")
        return question()

    wait_until(is_over, STEP_SECONDS, what)
