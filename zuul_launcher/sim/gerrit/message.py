"""Commit messages and their Change-Id footer. Pure."""

import re

CHANGE_ID = re.compile(r"^Change-Id: (I[0-9a-f]{40})\s*$", re.MULTILINE)
FOOTER = re.compile(r"[A-Za-z][A-Za-z-]*: ")


def change_id_in(message: str) -> str:
    """The last Change-Id of a message, or ""."""
    return next(reversed(CHANGE_ID.findall(message)), "")


def with_change_id(message: str, change_id: str) -> tuple[str, str]:
    """The message with a Change-Id footer, and the id: the message's own one, else the given one."""
    if found := change_id_in(message):
        return message, found
    text = message.rstrip("\n")
    _, blank, last = text.rpartition("\n\n")
    is_footer = bool(blank) and all(FOOTER.match(line) for line in last.split("\n"))
    separator = "\n" if is_footer else "\n\n"
    return f"{text}{separator}Change-Id: {change_id}\n", change_id
