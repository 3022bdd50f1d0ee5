"""The board: where the loop hangs the newest status document, and the page reads it.

One assignment swaps a whole document that never changes. What can be made of it (its compressed form, its items) is
made at most once, by the one thread that serves.
"""

import gzip
import hashlib
from functools import cached_property
from typing import Any

import msgspec

from zuul_launcher.web.status import encode, items


class Published:
    """One document, as bytes of JSON, and the time it tells about (epoch seconds)."""

    def __init__(self, body: bytes, at: float) -> None:
        self.body = body
        self.at = at

    @cached_property
    def tag(self) -> str:
        """Weak, since it stands for the plain and the compressed form."""
        return f'W/"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.body, compresslevel=5, mtime=0)

    def items(self, id: str | None = None) -> bytes:
        """The JSON list of all items, or of those of this id (`N,P`), maybe empty."""
        return encode(items(self._parsed, id))

    @cached_property
    def _parsed(self) -> dict[str, Any]:
        parsed: dict[str, Any] = msgspec.json.decode(self.body)
        return parsed


class Board:
    """The newest document; None until there is one.

    `asked_at` is when somebody last looked (epoch seconds): times in a document grow old while nothing happens,
    and the loop need not make new ones for nobody.
    """

    def __init__(self) -> None:
        self.newest: Published | None = None
        self.asked_at = 0.0

    def publish(self, body: bytes, at: float) -> None:
        self.newest = Published(body, at)
