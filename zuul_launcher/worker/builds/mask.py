"""Takes secrets out of what is shown: as they are, as a shell quotes them, and in base64 wherever they stand in it.

A stream comes in chunks of any size: what may be the beginning of a secret is held back until more is known.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MASK = b"****"
SHORTEST = 4  # bytes of a part of a secret (a line, a middle in base64) that is taken for it


class Masker:
    """For one stream; not to be shared between streams."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = sorted({form for secret in secrets for form in _forms(secret)}, key=lambda f: (-len(f), f))
        self._held = b""

    def add(self, data: bytes) -> bytes:
        """What can be shown now."""
        if not self._forms:
            return data
        data = self._held + data
        border = len(data) - max(_begun(form, data) for form in self._forms)
        for found in self._found(data):
            if found.start() < border < found.end():
                border = found.start()
        self._held = data[border:]
        return self.text(data[:border])

    def end(self) -> bytes:
        """What was held back, after all."""
        rest, self._held = self._held, b""
        return self.text(rest)

    def text(self, data: bytes) -> bytes:
        """The same for a text that is complete."""
        shown, place = b"", 0
        for found in self._found(data):
            shown += data[place : found.start()] + MASK
            place = found.end()
        return shown + data[place:] if place else data

    def _found(self, data: bytes) -> Iterable[re.Match[bytes]]:
        """The longest form wins. A key has hundreds of them: to ask for each alone takes a twentieth of the time."""
        there = [re.escape(form) for form in self._forms if form in data]
        return re.finditer(b"|".join(there), data) if there else ()


def _begun(form: bytes, data: bytes) -> int:
    """How many bytes at the end of the data could be the beginning of a form."""
    head = form[:SHORTEST]
    place = data.find(head, max(0, len(data) - len(form) + 1))
    while place >= 0:
        if form.startswith(data[place:]):
            return len(data) - place
        place = data.find(head, place + 1)
    return next((size for size in range(len(head) - 1, 0, -1) if data.endswith(form[:size])), 0)


def masked(value: Any, secrets: Sequence[str]) -> Any:
    """Plain data with no secret in any of its texts."""
    if not secrets:
        return value
    masker = Masker(secrets)
    return _masked(value, masker)


def _masked(value: Any, masker: Masker) -> Any:
    if isinstance(value, str):
        return masker.text(value.encode(errors="surrogatepass")).decode(errors="replace")
    if isinstance(value, Mapping):
        return {_masked(key, masker): _masked(each, masker) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(each, masker) for each in value]
    return value


def _forms(secret: str) -> Iterable[bytes]:
    whole = secret.encode(errors="surrogateescape")
    lines = [line.strip() for line in whole.splitlines()]
    parts = {whole, whole.strip(), *(line for line in lines if len(line) >= SHORTEST)} - {b""}
    for part in parts:
        yield part
        yield part.replace(b"'", b"'\\''")
        for encoded in _encoded(part):
            yield encoded
            yield encoded.replace(b"+", b"-").replace(b"/", b"_")


def _encoded(part: bytes) -> Iterable[bytes]:
    """In base64: alone, and what of it is the same whatever stands before and behind."""
    yield base64.b64encode(part)
    for before in range(3):
        first = -(-before * 8 // 6)  # letters that hold something of what stands before
        last = (before + len(part)) * 8 // 6  # letters that are complete
        middle = base64.b64encode(b"\0" * before + part)[first:last]
        if len(middle) >= SHORTEST:
            yield middle
