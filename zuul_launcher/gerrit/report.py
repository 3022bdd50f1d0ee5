"""Reports on a change with `gerrit review`, and submits it.

1. Nothing that comes from outside can become an option or a vote: see `commandline`. A message that starts with `-`
   gets a blank in front, which Gerrit takes off again.
2. `tag`, `notify`, `message` (in place of the text), `branch` and `move` are options with a value; what is true is a
   flag; everything else is a vote, with the label spelled as Gerrit spells it.
3. Submitting succeeds when Gerrit says MERGED, whoever did it; votes come too late then. An outdated patch set and a
   closed change are refused before anything is said.
4. A report that is delivered again is not said again if a comment of ours with the same text is there.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from zuul_launcher.errors import RemoteRefused
from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.commandline import plain, quote, value
from zuul_launcher.gerrit.hostkeys import ConnectionRefused
from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.record import Record, child, children, seconds_of, text_of
from zuul_launcher.gerrit.ssh import Finished
from zuul_launcher.model.change import normal_label

# Gerrit refuses comments over `change.commentSizeLimit`, 16 KiB unless set; and the command has to fit into one SSH
# packet, of which RFC 4253 (6.1) promises 32768 bytes.
MOST_CHARACTERS = 16_000
MOST_BYTES = 28_000  # after quoting; leaves room for the options
TRUNCATED = "\n\n(The rest of this message was cut off: it is too long for Gerrit.)"

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0)  # seconds before asking again whether a change has merged
CLOCK_SKEW = 60  # seconds by which Gerrit's clock may be behind ours

VALUE_OPTIONS = frozenset({"tag", "notify", "message", "branch", "move"})
Option = str | int | float | bool | None

_ID = re.compile(r"[1-9][0-9]{0,17},[1-9][0-9]{0,17}")
_FLAG = re.compile(r"[A-Za-z][A-Za-z-]*")
_VOTE = re.compile(r"[+-]?[0-9]{1,5}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReviewOutcome:
    """`merged`: Gerrit says that the change has landed (False also if nobody asked). `errors`: Gerrit's words."""

    merged: bool = False
    errors: tuple[str, ...] = ()


class Reporter:
    """Reports to one Gerrit, from one thread; `run` is `ssh.Commands.run` of that thread."""

    def __init__(
        self,
        run: Callable[[str], Finished],
        *,
        username: str,
        wait: Callable[[float], object],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """`username`: ours in Gerrit. `wait` pauses for seconds, and returns at once when the program stops."""
        self._run = run
        self._query = Query(run)
        self._username = username
        self._wait = wait
        self._pauses = pauses

    def review(
        self,
        project: str,
        change_id: str,
        message: str,
        options: Mapping[str, Option],
        *,
        labels: Iterable[str] = (),
        since: float | None = None,
    ) -> ReviewOutcome:
        """Says `message` on a patch set (`N,P`), votes, and submits if `options` say so.

        `labels`: names as Gerrit spells them, as far as they are known. `since`: epoch seconds of the first try, if
        this is not the first. Raises RemoteUnavailable and ConnectionRefused: try again later, with `since`.
        """
        text = cut(str(options.get("message") or message))
        try:
            if options.get("submit") is not True:
                if since is not None and was_said(self._record(change_id), self._username, text, since):
                    return ReviewOutcome()
                return self._say(review_command(project, change_id, text, options, labels))
            record = self._record(change_id)
            if since is not None and was_said(record, self._username, text, since):
                text, options = "", {"submit": True}
            labels = (*labels, *parse.label_names(record))
            return self._submit(record, project, change_id, text, options, labels)
        except ConnectionRefused:
            raise
        except RemoteRefused as error:
            return ReviewOutcome(errors=(str(error),))

    def _submit(
        self,
        record: Record,
        project: str,
        change_id: str,
        text: str,
        options: Mapping[str, Option],
        labels: Iterable[str],
    ) -> ReviewOutcome:
        number, _, patchset = change_id.partition(",")
        status, current = text_of(record, "status"), parse.current_patchset(record)
        if status == "MERGED":
            if text:
                kept = {key: given for key, given in options.items() if key in VALUE_OPTIONS}
                late = self._say(review_command(project, change_id, text, kept))
                log.info("%s has merged already%s", change_id, "".join(f"; {each}" for each in late.errors))
            return ReviewOutcome(merged=True)
        if not parse.is_open(record):
            return ReviewOutcome(errors=(f"change {number} is closed: {status}",))
        if current != patchset:
            return ReviewOutcome(errors=(f"{change_id} is outdated: the patch set is {current} by now",))
        said = self._say(review_command(project, change_id, text, options, labels))
        state = self._status(number)
        for pause in () if said.errors else self._pauses:
            if state == "MERGED":
                break
            self._wait(pause)
            state = self._status(number)
        if state == "MERGED":  # with errors: somebody else has submitted it in the same moment
            return ReviewOutcome(merged=True, errors=said.errors)
        return ReviewOutcome(
            errors=said.errors or (f"Gerrit took the submit of {change_id}, but says {state or 'nothing'}",)
        )

    def _say(self, command: str) -> ReviewOutcome:
        finished = self._run(command)
        complaint = finished.stderr.strip()
        if finished.status == 0 and not complaint:
            return ReviewOutcome()
        return ReviewOutcome(errors=(complaint or f"gerrit review ended with status {finished.status}",))

    def _record(self, change_id: str) -> Record:
        """The row of a change, asked for again while the index does not have it."""
        number = change_id.partition(",")[0]
        for pause in (*self._pauses, None):
            if record := self._query.change(number):
                return record
            if pause is not None:
                self._wait(pause)
        raise RemoteRefused(f"Gerrit does not know change {number}")

    def _status(self, number: str) -> str:
        record = self._query.change(number)
        return (text_of(record, "status") or "") if record else ""


def review_command(
    project: str, change_id: str, text: str, options: Mapping[str, Option], labels: Iterable[str] = ()
) -> str:
    """The command line that says a text (see `cut`) and does what `options` say. Raises RemoteRefused."""
    if not _ID.fullmatch(change_id):
        raise RemoteRefused(f"{change_id!r} is not a change and patch set")
    spelled = {normal_label(label): label for label in labels}
    words = [f"gerrit review --project {value(project)}"]
    if text:
        words.append(f"--message {quote(_guarded(text))}")
    for key, given in options.items():
        if given is None or given is False or key == "message":
            continue
        if key in VALUE_OPTIONS:
            words.append(f"--{key} {value(str(given))}")
        elif given is True and _FLAG.fullmatch(key):
            words.append(f"--{key}")
        elif _VOTE.fullmatch(str(given)):
            words.append(f"--label {value(spelled.get(normal_label(key), key) + f'={given}')}")
        else:
            raise RemoteRefused(f"{key}: {given!r} is neither an option of `gerrit review` nor a vote")
    return " ".join([*words, change_id])


def cut(text: str) -> str:
    """A message as it is sent: without control characters, and not too long for Gerrit."""
    text = plain(text).strip()
    if _fits(text):
        return text
    length = MOST_CHARACTERS
    while not _fits(text[:length] + TRUNCATED):
        length -= 500
    return text[:length] + TRUNCATED


def was_said(record: Record, username: str, text: str, since: float) -> bool:
    """Is there a comment of this user with this text, not older than `since`? An empty text never is."""
    words = text.split()
    return bool(words) and any(
        text_of(child(row, "reviewer"), "username") == username
        and seconds_of(row, "timestamp") >= int(since) - CLOCK_SKEW
        and (text_of(row, "message") or "").partition("\n\n")[2].split() == words
        for row in children(record, "comments")
    )


def _fits(text: str) -> bool:
    return len(text) <= MOST_CHARACTERS and len(quote(text).encode()) <= MOST_BYTES


def _guarded(text: str) -> str:
    return f" {text}" if text.startswith("-") else text
