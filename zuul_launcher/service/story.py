"""What a step did, for the log: one line when an item enters, launches, is reported and leaves, with its name. Pure.

Items that only stand in for a change that another one needs are passed over.
"""

from collections.abc import Iterator, Sequence

from zuul_launcher.model.actions import AnyAction, Close, Launch, Report
from zuul_launcher.model.change import Change, Ref, Subject
from zuul_launcher.model.queue import State
from zuul_launcher.service.records import Known, Place, place_of


def lines(before: Known, state: State, actions: Sequence[AnyAction]) -> Iterator[str]:
    """`before`: taken before the step; `state`: after it."""
    old = {item: place for (item, _), (place, _) in before.sets.items()}
    for item in state.items.values():
        if item.live and item.id not in old:
            yield _line(place_of(state, item), "enters")
    launched: dict[str, list[str]] = {}
    for action in actions:
        if isinstance(action, Launch):
            launched.setdefault(action.item, []).append(action.job)
    told = [(item, f"launches {', '.join(jobs)}") for item, jobs in launched.items()]
    told += [_end(action) for action in actions if isinstance(action, Report | Close)]
    for name, what in told:
        here = state.items.get(name)
        place = place_of(state, here) if here is not None else old.get(name)
        if place is not None and place.live and what:
            yield _line(place, what)


def _end(action: Report | Close) -> tuple[str, str]:
    """The item, and what became of it: "" if nothing yet."""
    if isinstance(action, Close):
        return action.item, f"leaves: {action.reason}"
    return action.item, "" if action.verdict == "start" else f"is reported: {action.verdict}"


def _line(place: Place, what: str) -> str:
    attempt = f", attempt {place.attempt}" if place.attempt > 1 else ""
    name = f"{place.subject.project} {_name(place.subject)}"
    return f"{place.pipeline}: {name} {what} (item {place.item}{attempt})"


def _name(subject: Subject) -> str:
    """As people know it."""
    match subject:
        case Change():
            return subject.id
        case Ref():
            return f"{subject.ref} {subject.newrev[:7]}"
        case _:
            return "timer"
