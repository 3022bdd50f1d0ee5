"""Label expressions of A5: what matches, what is mentioned, what is refused and where."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zuul_launcher.worker.definitions.labels import Expression, ExpressionError, parse

# A5's table, and the precedence of every pair of signs.
CASES = [
    ("linux", "ubuntu gcc linux", True),
    ("bogus", "ubuntu linux", False),
    ("precise || oneiric", "precise", True),
    ("a && b", "a b c", True),
    ("a && b", "a", False),
    ("!linux", "linux", False),
    ("!linux", "windows", True),
    ("trusty-7", "trusty trusty-7", True),
    ("a && b && c", "a b", False),
    ("a && b && c", "a b c", True),
    ("a || b || c", "c", True),
    ("a <-> b <-> c", "a b", False),
    ("a <-> b <-> c", "a", True),
    ("!a && b", "b", True),
    ("!(a && b)", "b", True),
    ("!!a", "a", True),
    ("a || b && c", "a", True),
    ("(a || b) && c", "a", False),
    ("a && b || c", "c", True),
    ("a -> b", "", True),
    ("a -> b", "a", False),
    ("a -> b", "a b", True),
    ("a || b -> c", "b", False),
    ("a <-> b", "", True),
    ("a <-> b", "a b", True),
    ("a <-> b", "b", False),
    ("a -> b <-> c", "a b c", True),
    ("a -> b <-> c", "c a", False),
    ("a -> (b -> c)", "a b", False),
    ("(a -> b) -> c", "", False),
    ('"two words" && x', "x", False),
    ("a&&b||!c", "c", False),
    ("a->b", "a", False),
    ("big-iron", "big-iron", True),
    ("höhe", "höhe", True),
]


@pytest.mark.parametrize(("text", "labels", "expected"), CASES)
def test_an_expression_matches_the_labels_that_satisfy_it(text: str, labels: str, expected: bool) -> None:
    assert parse(text).matches(frozenset(labels.split())) is expected


def test_a_quoted_label_may_hold_signs_and_spaces() -> None:
    assert parse('"two (words)"').matches(frozenset({"two (words)"}))


def test_atoms_are_all_labels_that_are_mentioned() -> None:
    assert parse('a && !(b || c-1) -> "d e" <-> a').atoms == {"a", "b", "c-1", "d e"}


def test_its_text_is_what_was_written() -> None:
    assert str(parse("  a&&b ")) == "a&&b"
    assert parse("a&&b") == parse(" a&&b")
    assert parse("a") != parse("b")
    assert parse("a") != "a"
    assert len({parse("a"), parse("a"), parse("b")}) == 2


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "ends here"),
        ("a &&", 5, "ends here"),
        ("a b", 3, "&& or || is missing"),
        ("a & b", 3, "write &&"),
        ("a | b", 3, "write ||"),
        ("a < b", 3, "< is not expected here"),
        ("(a || b", 1, "not closed"),
        ("a || b)", 7, ") is not expected"),
        ("()", 2, ") is not expected"),
        ("&& a", 1, "&& is not expected"),
        ("a -> b -> c", 8, "a second ->"),
        ('"a', 1, "quote is not closed"),
        ('a && ""', 6, "an empty label"),
        ("!", 2, "ends here"),
        ("a && b:c", 7, "colon"),
        ('"b:c"', 3, "colon"),
        ("(" * 100 + "a" + ")" * 100, 51, "nested"),
        ("!" * 100 + "a", 51, "nested"),
        ("a" * 20_000, 10_001, "longer"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_column(text: str, column: int, message: str) -> None:
    """D10. Bad expression: refused with position."""
    with pytest.raises(ExpressionError, match="column") as caught:
        parse(text)
    assert (caught.value.column, message in caught.value.message) == (column, True), caught.value.message
    assert ("write" in caught.value.message) == ("write" in message)


_LABELS = ("a", "b", "c")
_expressions = st.recursive(
    st.sampled_from(_LABELS),
    lambda inner: st.one_of(
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, st.sampled_from(["&&", "||", "->", "<->"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=8,
)
_IN_PYTHON = {"&&": " and ", "||": " or ", "<->": " == ", "->": " <= ", "!": " not "}


@given(_expressions)
def test_it_means_what_the_same_formula_means_in_python(text: str) -> None:
    formula = text
    for sign in ("&&", "||", "<->", "->", "!"):
        formula = formula.replace(sign, _IN_PYTHON[sign])
    expression: Expression = parse(text)
    for held in itertools.product([False, True], repeat=len(_LABELS)):
        values = dict(zip(_LABELS, held, strict=True))
        expected = eval(formula, {}, values)
        assert expression.matches(frozenset(name for name, has in values.items() if has)) == expected


@given(st.text(alphabet='ab()!&|<>-" :', max_size=12))
def test_any_text_is_an_expression_or_refused_with_a_column_in_it(text: str) -> None:
    assert _column_or_none(text) in {None, *range(1, len(text) + 2)}


def _column_or_none(text: str) -> int | None:
    try:
        parse(text)
    except ExpressionError as error:
        return error.column
    return None
