"""Label expressions: which nodes may run a job (worker-and-remoting A5). Pure.

Grammar, tightest first: atoms (runs without whitespace and `()!&|<>"`, or in double quotes), parentheses, `!`, `&&`,
`||`, `->`, `<->`. `a -> b -> c` is refused, as Jenkins does: the two readings differ.
"""

import re
from typing import Literal, NamedTuple

from zuul_launcher.errors import ConfigurationError

MAXIMUM_LENGTH = 10_000
MAXIMUM_DEPTH = 50  # of parentheses and `!`: each is a call of the parser

_TOKEN = re.compile(
    r'(?P<space>\s+)|(?P<sign><->|->|&&|\|\||[()!])|"(?P<quoted>[^"]+)"|(?P<atom>(?:(?!->)[^\s()!&|<>"])+)'
)
_ENDED = "the expression ends here, a label is missing"

Sign = Literal["atom", "!", "&&", "||", "->", "<->"]


class ExpressionError(ConfigurationError):
    """The text is no label expression; `column` counts its characters from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column


class Term(NamedTuple):
    """A label, or a sign with what it joins."""

    sign: Sign
    label: str = ""
    parts: tuple["Term", ...] = ()


class Expression:
    """A parsed expression; `str()` gives its text. Equal if their texts are."""

    __slots__ = ("atoms", "term", "text")

    def __init__(self, text: str, term: Term) -> None:
        self.text = text
        self.term = term
        self.atoms = frozenset(_labels(term))  # all labels that it mentions

    def matches(self, labels: frozenset[str]) -> bool:
        """Whether a node with these labels, its own name among them, satisfies it."""
        return _holds(self.term, labels)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def parse(text: str) -> Expression:
    """Raises ExpressionError."""
    if len(text) > MAXIMUM_LENGTH:
        raise ExpressionError(f"longer than {MAXIMUM_LENGTH:,} characters", MAXIMUM_LENGTH + 1)
    parser = _Parser(_tokens(text), len(text) + 1)
    term = parser.joined("<->")
    if parser.sign == "->":
        raise ExpressionError("a second ->, put one of them in parentheses", parser.column)
    if parser.sign:
        missing = "&& or || is missing" if parser.sign == "atom" else f"{parser.sign} is not expected"
        raise ExpressionError(f"{missing} here", parser.column)
    return Expression(text.strip(), term)


def _labels(term: Term) -> set[str]:
    return {term.label} if term.sign == "atom" else set().union(*map(_labels, term.parts))


def _holds(term: Term, labels: frozenset[str]) -> bool:
    parts = [_holds(part, labels) for part in term.parts]
    match term.sign:
        case "atom":
            return term.label in labels
        case "!":
            return not parts[0]
        case "&&":
            return all(parts)
        case "||":
            return any(parts)
        case "->":
            return not parts[0] or parts[1]
        case "<->":
            return sum(parts) % 2 == len(parts) % 2  # grouped to any side: it does not matter


class _Token(NamedTuple):
    column: int
    sign: str
    label: str = ""


def _tokens(text: str) -> list[_Token]:
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError(_strange(text, position), position + 1)
        if match["sign"]:
            found.append(_Token(position + 1, match["sign"]))
        elif label := match["quoted"] or match["atom"]:
            if ":" in label:
                column = position + label.index(":") + (2 if match["quoted"] else 1)
                raise ExpressionError("a label can not have a colon: it parts the names of functions", column)
            found.append(_Token(position + 1, "atom", label))
        position = match.end()
    return found


def _strange(text: str, position: int) -> str:
    sign = text[position]
    if sign == '"':
        return "an empty label" if text[position + 1 : position + 2] == '"' else "the quote is not closed"
    return f"{sign} is not expected here" + (f", write {sign}{sign}" if sign in "&|" else "")


_LOOSEST: tuple[Sign, ...] = ("<->", "->", "||", "&&")


class _Parser:
    """One descent through the tokens."""

    def __init__(self, tokens: list[_Token], end: int) -> None:
        self.tokens = tokens
        self.end = end
        self.position = 0
        self.depth = 0

    @property
    def sign(self) -> str:
        """Of the next token; empty at the end."""
        return self.tokens[self.position].sign if self.position < len(self.tokens) else ""

    @property
    def column(self) -> int:
        """Of the next token, which there has to be."""
        return self.tokens[self.position].column

    def joined(self, sign: Sign) -> Term:
        """What is joined by this sign, or by a tighter one."""
        level = _LOOSEST.index(sign) + 1
        parts = [self.joined(_LOOSEST[level]) if level < len(_LOOSEST) else self.single()]
        while self.sign == sign and (sign != "->" or len(parts) == 1):
            self.position += 1
            parts.append(self.joined(_LOOSEST[level]) if level < len(_LOOSEST) else self.single())
        if len(parts) == 1:
            return parts[0]
        return Term(sign, parts=tuple(parts))

    def single(self) -> Term:
        """A label, a negation, or what stands in parentheses."""
        if not self.sign:
            raise ExpressionError(_ENDED, self.end)
        if self.depth >= MAXIMUM_DEPTH:
            raise ExpressionError(f"nested more than {MAXIMUM_DEPTH} levels deep", self.column)
        sign, column = self.sign, self.column
        self.position += 1
        self.depth += 1
        try:
            if sign == "atom":
                return Term("atom", self.tokens[self.position - 1].label)
            if sign == "!":
                return Term("!", parts=(self.single(),))
            if sign != "(":
                raise ExpressionError(f"{sign} is not expected here, a label is", column)
            inner = self.joined("<->")
            if self.sign != ")":
                raise ExpressionError("the parenthesis is not closed", column)
            self.position += 1
            return inner
        finally:
            self.depth -= 1
