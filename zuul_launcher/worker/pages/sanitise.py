"""HTML from outside, made safe to show: an allow-list of elements, and links to the web only.

What comes out is put together from escaped text and from tags that are written here, so nothing that goes in decides
about markup. The text is read in one go from left to right; `html.parser` needs a minute for 64 KiB of `<a x="`.
"""

import re
from html import escape, unescape

ELEMENTS = frozenset(
    (
        *("a", "b", "i", "em", "strong", "code", "span", "p", "br", "pre", "ul", "ol", "li", "h1", "h2", "h3", "h4"),
        *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
    )
)
VOID = frozenset({"br"})
WITHOUT_CONTENT = frozenset({"script", "style", "template", "iframe", "noscript", "svg", "math", "title", "textarea"})
DEPTH = 64  # elements inside each other

_TAG = re.compile(r"""<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]*)(?P<rest>(?:[^<>"']|"[^"]*"|'[^']*')*+)>""")
_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s"'=<>/]++)\s*+(?:=\s*+(?:"(?P<a>[^"]*)"|'(?P<b>[^']*)'|(?P<c>[^\s"'<>`]++)))?"""
)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_IGNORED_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f]")


def sanitised(html: str) -> str:
    """`html` with nothing but allowed elements, each of them closed. Never raises."""
    writing = _Writing()
    position = 0
    while (at := html.find("<", position)) >= 0:
        writing.text(html[position:at])
        position = _markup(html, at, writing)
    writing.text(html[position:])
    return writing.result()


class _Writing:
    """What is written so far, and which elements are open."""

    def __init__(self) -> None:
        self._written: list[str] = []
        self._open: list[str] = []

    def text(self, text: str) -> None:
        self._written.append(escape(unescape(text), quote=False))

    def start(self, name: str, attributes: str) -> None:
        if name not in ELEMENTS or len(self._open) >= DEPTH:
            return
        address = _address(attributes) if name == "a" else None
        link = f' href="{escape(address)}" rel="noopener noreferrer nofollow"' if address else ""
        self._written.append(f"<{name}{link}>")
        if name not in VOID:
            self._open.append(name)

    def end(self, name: str) -> None:
        """Close it, and what was left open in it. An end without a beginning says nothing."""
        if name not in self._open:
            return
        while True:
            closed = self._open.pop()
            self._written.append(f"</{closed}>")
            if closed == name:
                return

    def result(self) -> str:
        closed = "".join(f"</{name}>" for name in reversed(self._open))
        return "".join(self._written) + closed


def _markup(html: str, at: int, writing: _Writing) -> int:
    """Read what begins with the `<` at `at`; where to go on."""
    if html.startswith("<!--", at):
        return _after(html, "-->", at + 4)
    if html.startswith(("<!", "<?"), at):
        return _after(html, ">", at + 2)
    tag = _TAG.match(html, at)
    if tag is None:
        writing.text("<")
        return at + 1
    name = tag["name"].lower()
    if tag["end"]:
        writing.end(name)
    elif name in WITHOUT_CONTENT:
        closing = re.compile(rf"</{name}\b", re.IGNORECASE).search(html, tag.end())
        return _after(html, ">", closing.end()) if closing else len(html)
    else:
        writing.start(name, tag["rest"])
    return tag.end()


def _after(html: str, mark: str, start: int) -> int:
    found = html.find(mark, start)
    return len(html) if found < 0 else found + len(mark)


def _address(attributes: str) -> str | None:
    """The first `href`, if it leads to the web."""
    for found in _ATTRIBUTE.finditer(attributes):
        if found["name"].lower() == "href":
            value = unescape(found["a"] or found["b"] or found["c"] or "")
            address = _IGNORED_IN_ADDRESSES.sub("", value)
            return address if _WEB.match(address) else None
    return None
