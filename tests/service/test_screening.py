"""A pattern that runs for ages on a text costs that text or its event, and nothing that is harmless is touched."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zuul_launcher.model.change import Account, Approval, Change, Ref
from zuul_launcher.model.events import AnyEvent, EnqueueRequested, SiblingsSeen, Trigger, Triggered
from zuul_launcher.model.layout import (
    ApprovalRule,
    GerritFilter,
    Job,
    Layout,
    Pipeline,
    Requirement,
    SkipIf,
)
from zuul_launcher.service.screening import MAXIMUM_BAD, Screening

SLOW = "(a+)+$"
BAD = "a" * 60 + "!"
RULE = ApprovalRule(email=r"@example\.com$", username="^(ann|bob)$")
Make = Callable[..., Screening]


def layout_with(condition: GerritFilter, job: Job | None = None, requirement: Requirement | None = None) -> Layout:
    job = job or Job(name="unit")
    pipeline = Pipeline(name="check", kind="independent", triggers=(condition,), require=requirement or Requirement())
    return Layout(pipelines={"check": pipeline}, jobs={job.name: job}, projects={})


def heard(**more: object) -> GerritFilter:
    return GerritFilter(connection="gerrit", events=("comment-added",), **more)  # type: ignore[arg-type]


def change_with(**more: object) -> Change:
    facts = {"branch": "master", "files": ("README",), **more}
    return Change(connection="gerrit", project="alpha", number="1", patchset="2", ref="refs/changes/01/1/2", **facts)  # type: ignore[arg-type]


def event_with(change: Change, **more: object) -> Triggered:
    trigger = Trigger(connection="gerrit", type="comment-added", project="alpha", branch=change.branch, **more)  # type: ignore[arg-type]
    return Triggered(at=1.0, trigger=trigger, subject=change.key, facts=(change,))


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Screening] = []

    def screening(layout: Layout, deadline: float = 0.2) -> Screening:
        made.append(Screening(lambda: layout, deadline))
        return made[-1]

    yield screening
    for one in made:
        one.stop()


@pytest.mark.parametrize(
    ("key", "given_as", "kind"),
    [
        ("comments", {"comment": BAD}, "comment"),
        ("emails", {"account": Account(email=BAD)}, "e-mail address"),
        ("usernames", {"account": Account(username=BAD)}, "user name"),
    ],
)
def test_what_the_event_itself_says_is_blanked_and_marked(
    make: Make, key: str, given_as: dict[str, object], kind: str
) -> None:
    screening = make(layout_with(heard(**{key: ("harmless", SLOW)})))
    screened = screening.screen(event_with(change_with(), **given_as))
    assert screened is not None
    assert BAD not in str(screened.trigger)
    (mark,) = screened.blanked
    assert mark.startswith(f"the layout's pattern '(a+)+$' runs for more than 0.2 s on the {kind} 'aaaa")
    assert list(screening.complaints) == [f"{mark}: the text is blanked"]


def test_a_bad_text_is_remembered_and_the_next_event_is_screened_by_a_new_child(make: Make) -> None:
    screening = make(layout_with(heard(comments=(SLOW,))))
    first = screening.screen(event_with(change_with(), comment=BAD))
    assert screening.screen(event_with(change_with(), comment=BAD)) == first
    harmless = event_with(change_with(), comment="recheck")
    assert screening.screen(harmless) is harmless
    assert len(screening.complaints) == 1


@pytest.mark.parametrize(
    ("job", "facts"),
    [
        (Job(name="unit", branches=(SLOW,)), {"branch": BAD}),
        (Job(name="unit", files=(SLOW,)), {"files": ("README", BAD)}),
        (Job(name="unit", skip_if=(SkipIf(all_files=(SLOW,)),)), {"files": ("README", BAD)}),
    ],
)
def test_without_what_decides_on_jobs_the_event_is_dropped(make: Make, job: Job, facts: dict[str, object]) -> None:
    screening = make(layout_with(heard(), job))
    assert screening.screen(event_with(change_with(**facts))) is None
    assert "the event is dropped" in screening.complaints[0]


def test_a_voter_who_is_only_required_is_blanked(make: Make) -> None:
    votes = (Approval(label="Verified", value=1, by=Account(email=BAD)), Approval(label="Verified", value=2))
    requirement = Requirement(approvals=(ApprovalRule(email=SLOW),))
    screened = make(layout_with(heard(), requirement=requirement)).screen(event_with(change_with(approvals=votes)))
    assert screened is not None
    (change,) = screened.facts
    assert isinstance(change, Change)
    assert [(vote.value, vote.by.email) for vote in change.approvals] == [(1, ""), (2, "")]


def test_a_voter_who_might_be_rejected_is_not_overlooked(make: Make) -> None:
    votes = (Approval(label="Verified", value=1, by=Account(email=BAD)),)
    screening = make(layout_with(heard(reject=(ApprovalRule(email=SLOW),))))
    assert screening.screen(event_with(change_with(approvals=votes))) is None


def test_many_bad_texts_are_not_all_tried(make: Make) -> None:
    votes = tuple(Approval(label="Verified", value=1, by=Account(email=f"{BAD}{number}")) for number in range(50))
    requirement = Requirement(approvals=(ApprovalRule(email=SLOW),))
    screening = make(layout_with(heard(), requirement=requirement), deadline=0.05)
    assert screening.screen(event_with(change_with(approvals=votes))) is None
    assert len(screening.complaints) <= MAXIMUM_BAD


def test_siblings_are_answered_for_in_any_case(make: Make) -> None:
    bad = change_with(branch=BAD)
    screening = make(layout_with(heard(), Job(name="unit", branches=(SLOW,))))
    screened = screening.screen(SiblingsSeen(at=1.0, subjects=(bad.key,), facts=(bad,)))
    assert screened is not None
    assert (screened.subjects, screened.facts, len(screened.blanked)) == ((), (), 1)


def test_a_ref_that_somebody_wants_enqueued_is_screened(make: Make) -> None:
    ref = Ref(connection="gerrit", project="alpha", ref=BAD, oldrev="0", newrev="1")
    event = EnqueueRequested(
        at=1.0,
        request="r",
        pipeline="check",
        project="alpha",
        trigger="gerrit",
        name=BAD,
        subject=ref.key,
        facts=(ref,),
    )
    assert make(layout_with(heard(), Job(name="unit", branches=(SLOW,)))).screen(event) is None


def test_a_new_layout_is_screened_with_from_its_first_event() -> None:
    layouts = [layout_with(heard(comments=("recheck",)))]
    screening = Screening(lambda: layouts[-1], 0.2)
    event = event_with(change_with(), comment=BAD)
    assert screening.screen(event) is event
    layouts.append(layout_with(heard(comments=(SLOW,))))
    assert screening.screen(event) != event
    layouts.append(layouts[0])
    assert screening.screen(event) is event
    assert list(screening.complaints) == []
    screening.stop()


def test_a_layout_without_patterns_needs_no_child(make: Make) -> None:
    event = event_with(change_with(), comment=BAD)
    assert make(layout_with(heard())).screen(event) is event


HARMLESS = layout_with(
    heard(
        comments=(r"(?im)^patch set \d+:\n\n\s*recheck\b",),
        emails=tuple(rf"^user{number}@example\.com$" for number in range(534)),
        branches=("(?!^refs/meta/config|^REL)",),
        require=(RULE,),
        reject=(RULE,),
    ),
    Job(
        name="unit", branches=("^master$",), files=(r".*\.py$",), skip_if=(SkipIf(project="^x", all_files=("^doc/",)),)
    ),
)
TEXTS = st.text(max_size=80) | st.text(st.sampled_from("a/.@!\n"), max_size=3000)
ACCOUNTS = st.builds(Account, name=TEXTS, email=TEXTS, username=TEXTS)
VOTES = st.builds(Approval, label=st.just("Verified"), value=st.integers(-2, 2), by=ACCOUNTS)
CHANGES = st.builds(
    change_with,
    branch=TEXTS,
    files=st.lists(TEXTS, max_size=5).map(tuple),
    approvals=st.lists(VOTES, max_size=3).map(tuple),
)


@pytest.fixture(scope="module")
def harmless() -> Iterator[Screening]:
    screening = Screening(lambda: HARMLESS)
    yield screening
    screening.stop()


@settings(deadline=None, max_examples=60)
@given(change=CHANGES, comment=st.none() | TEXTS, account=st.none() | ACCOUNTS)
def test_what_is_harmless_stays_as_it_is(
    harmless: Screening, change: Change, comment: str | None, account: Account | None
) -> None:
    event = event_with(change, comment=comment, account=account)
    assert harmless.screen(event) is event


def test_an_event_that_was_not_touched_is_stored_as_ever() -> None:
    assert b"blanked" not in msgspec.json.encode(event_with(change_with()))
    touched = msgspec.structs.replace(event_with(change_with()), blanked=("why",))
    assert msgspec.json.decode(msgspec.json.encode(touched), type=AnyEvent) == touched
