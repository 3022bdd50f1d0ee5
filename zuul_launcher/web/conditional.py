"""Has the reader got it already? Conditional requests (RFC 9110 §13), and whether compressed answers are welcome."""

import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime


def http_date(at: float) -> str:
    """Epoch seconds as HTTP writes them."""
    return formatdate(at, usegmt=True)


def unchanged(headers: Mapping[str, str], tag: str, at: float | None = None) -> bool:
    """Is what the reader holds still the newest? `at`: when it last changed, epoch seconds.

    A tag decides if the reader sent one; a date only otherwise. What cannot be read counts as not sent.
    """
    known = headers.get("if-none-match")
    if known is not None:
        return known.strip() == "*" or tag.removeprefix("W/") in re.findall(r'"[^"]*"', known)
    since = headers.get("if-modified-since")
    if since is None or at is None:
        return False
    try:
        return parsedate_to_datetime(since).timestamp() >= int(at)
    except (ValueError, TypeError, OverflowError):
        return False


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Does Accept-Encoding name gzip, and not with a quality of zero?"""
    for part in headers.get("accept-encoding", "").lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", quality)
    return False
