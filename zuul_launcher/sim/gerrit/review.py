"""`gerrit review`: comments, votes, abandons, restores, submits. Measured on Gerrit 3.10.2.

The comment and the votes are taken first: a submit that is refused leaves them standing. Labels that do not exist and
values out of range are ignored without a word, as Gerrit does without `--strict-labels`.
"""

import re
from dataclasses import dataclass, field

from zuul_launcher.sim.gerrit import events
from zuul_launcher.sim.gerrit.commandline import parse
from zuul_launcher.sim.gerrit.model import (
    ALL_LABELS,
    PRIVILEGED,
    Account,
    Change,
    PatchSet,
    Refused,
    Vote,
    cast_vote,
    check_vote,
    label_named,
)
from zuul_launcher.sim.gerrit.state import State
from zuul_launcher.sim.gerrit.submit import submit

LABEL_OPTIONS = {f"--{label.lower()}": label for label in ALL_LABELS}
FLAGS = {"--abandon", "--restore", "--submit", "--strict-labels", "--publish"}
VALUED = {"--project", "--branch", "--message", "--notify", "--tag", "--label", *LABEL_OPTIONS}
SHORT = {
    "-p": "--project",
    "-b": "--branch",
    "-m": "--message",
    "-n": "--notify",
    "-t": "--tag",
    "-l": "--label",
    "-s": "--submit",
}


@dataclass(frozen=True, kw_only=True)
class Review:
    message: str = ""
    votes: dict[str, int] = field(default_factory=dict)  # label, rightly spelled -> value in range
    abandon: bool = False
    restore: bool = False
    submit: bool = False


def run(state: State, words: list[str], who: Account) -> str:
    """Runs `gerrit review WORDS`; returns what went wrong with single changes, "" if nothing did.

    Raises Refused for a wrong command line; then nothing has happened.
    """
    parsed = parse(words, flags=FLAGS, valued=VALUED, short=SHORT)
    if not parsed.arguments:
        raise Refused('Argument "{COMMIT | CHANGE,PATCHSET}" is required')
    project = parsed.value("--project")
    if project:
        state.repository(project)
    targets = [_target(state, text, project) for text in parsed.arguments]
    votes = [_vote(*text.partition("=")) for text in parsed.values.get("--label", [])]
    votes += [_option(option, parsed.value(option)) for option in LABEL_OPTIONS if option in parsed.values]
    if {"--abandon", "--restore"} <= parsed.flags:
        raise Refused("abandon and restore actions are mutually exclusive")
    if {"--abandon", "--submit"} <= parsed.flags:
        raise Refused("abandon and submit actions are mutually exclusive")
    wanted = Review(
        message=parsed.value("--message").strip(),
        votes={label: value for label, value in votes if label and _in_range(label, value)},
        abandon="--abandon" in parsed.flags,
        restore="--restore" in parsed.flags,
        submit="--submit" in parsed.flags,
    )
    problems = ""
    for change, patch_set in targets:
        try:
            review(state, change, patch_set, wanted, who)
        except Refused as error:
            problems += f"error: fatal: {error}\n\n"
    return problems + "fatal: one or more reviews failed; review output above\n" if problems else ""


def review(state: State, change: Change, patch_set: PatchSet, wanted: Review, who: Account) -> None:
    """Does one review. Raises Refused at the first part that is not allowed; what came before it stays."""
    if wanted.restore:
        restore(state, change, who, wanted.message)
    comment = "" if wanted.abandon or wanted.restore else wanted.message
    _comment(state, change, patch_set, comment, wanted.votes, who)
    if wanted.abandon:
        abandon(state, change, who, wanted.message)
    if wanted.submit:
        submit(state, change, patch_set, who)


def abandon(state: State, change: Change, who: Account, reason: str) -> None:
    if change.status != "NEW":
        raise Refused(f"change is {change.status.lower()}")
    if who.username not in (*PRIVILEGED, change.owner.username):
        raise Refused("abandon not permitted")
    change.status = "ABANDONED"
    state.add_message(change, who, f"Abandoned\n\n{reason}".strip())
    state.emit(events.change_abandoned(state.recorder, change, who, reason, state.now()))


def restore(state: State, change: Change, who: Account, reason: str) -> None:
    if change.status != "ABANDONED":
        raise Refused(f"change is {change.status.lower()}")
    if who.username not in (*PRIVILEGED, change.owner.username):
        raise Refused("restore not permitted")
    change.status = "NEW"
    state.add_message(change, who, f"Restored\n\n{reason}".strip())
    state.emit(events.change_restored(state.recorder, change, who, reason, state.now()))


def _comment(
    state: State, change: Change, patch_set: PatchSet, comment: str, votes: dict[str, int], who: Account
) -> None:
    """Leaves a message and votes; says nothing where neither a word nor a vote is new."""
    for label, value in votes.items():
        check_vote(change, patch_set, label, value, who)
    before = {label: patch_set.cast(label, who.username) for label in votes}
    changed = {label: value for label, value in votes.items() if before[label] != value}
    if not changed and not comment:
        return
    for label, value in changed.items():
        cast_vote(patch_set, Vote(label, value, who, state.now()))
    cast = sorted(f"{label}{value:+d}" if value else f"-{label}" for label, value in changed.items())
    text = " ".join([f"Patch Set {patch_set.number}:", *cast]) + (f"\n\n{comment}" if comment else "")
    state.add_message(change, who, text)
    told = {label: before[label] for label in changed} if change.status != "MERGED" or votes else None
    state.emit(events.comment_added(state.recorder, change, patch_set, who, text, told, state.now()))


def _target(state: State, text: str, project: str) -> tuple[Change, PatchSet]:
    """The patch set that NUMBER,PATCHSET or a commit names."""
    if re.fullmatch(r"[0-9a-f]{7,40}", text) and not text.isdigit():
        for change in state.changes.values():
            for patch_set in change.patch_sets:
                if patch_set.revision.startswith(text) and project in ("", change.project):
                    return change, patch_set
        raise Refused(f'"{text}" no such patch set')
    numbers = re.fullmatch(r"([0-9]+),([0-9]+)", text)
    if not numbers:
        raise Refused(f'"{text}" is not a valid patch set')
    number = int(numbers[1])
    if project and (number not in state.changes or state.changes[number].project != project):
        raise Refused("database error")
    change = state.change(number)
    for patch_set in change.patch_sets:
        if patch_set.number == int(numbers[2]):
            return change, patch_set
    raise Refused(f'"{text}" no such patch set')


def _vote(label: str, equals: str, value: str) -> tuple[str, int]:
    """The label ("" if there is none of this name) and the value."""
    if not equals:
        raise Refused(f"Label vote missing '=': {label}")
    if not re.fullmatch(r"[+-]?[0-9]+", value):
        raise Refused(f'For input string: "{value}"')
    return label_named(label) or "", int(value)


def _option(option: str, value: str) -> tuple[str, int]:
    """A vote by an option of its own, as in `--verified 2`: this form is strict."""
    label = LABEL_OPTIONS[option]
    if not re.fullmatch(r"[+-]?[0-9]+", value):
        raise Refused(f'"{value}" is not a valid value for "{option}"')
    if not _in_range(label, int(value)):
        lowest, highest = ALL_LABELS[label]
        raise Refused(f'"{value}" must be in range {lowest:+d}..{highest:+d} for "{option}"')
    return label, int(value)


def _in_range(label: str, value: int) -> bool:
    lowest, highest = ALL_LABELS[label]
    return lowest <= value <= highest
