"""Which texts of an event the gate tries which patterns on, and the event without those that are bad. Pure.

Follows `gate/match`: what is tried there is named here.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from zuul_launcher.model.change import Account, Approval, Change, Ref, Subject
from zuul_launcher.model.events import EnqueueRequested, FactsSeen, SiblingsSeen, Triggered
from zuul_launcher.model.layout import ApprovalRule, GerritFilter, Layout, Pipeline, ZuulFilter

COMMENT = "comment"
EMAIL, USERNAME = "e-mail address", "user name"  # of who caused the event
VOTER_EMAIL, VOTER_USERNAME = "voter's e-mail address", "voter's user name"
BRANCH, REF, FILE, PROJECT = "branch", "ref", "file", "project"

Bringing = Triggered | SiblingsSeen | FactsSeen | EnqueueRequested  # events with texts from outside
E = TypeVar("E", Triggered, SiblingsSeen, FactsSeen, EnqueueRequested)


class Text(NamedTuple):
    kind: str
    text: str


class Group(Struct, frozen=True):
    """All patterns that one kind of text is tried with. `blank`: may the text be blanked? If not, the event goes."""

    search: bool
    patterns: tuple[str, ...]
    blank: bool


def groups_of(layout: Layout) -> dict[str, Group]:
    """By kind of text, without kinds that have no patterns.

    A text is blanked only where nothing is let through that way: a filter does not accept a blank comment, and no
    required vote is met by nobody; a *rejected* vote of nobody would be overlooked, so there the event goes.
    """
    gerrit, rejected, required = _conditions(layout.pipelines.values())
    jobs = layout.jobs.values()
    skips = [skip for job in jobs for skip in job.skip_if]
    rules = [*rejected, *required]
    branches = [*(one for job in jobs for one in job.branches), *_given(skip.branch for skip in skips)]
    groups = {
        COMMENT: _group(True, (one for filter in gerrit for one in filter.comments), blank=True),
        EMAIL: _group(True, (one for filter in gerrit for one in filter.emails), blank=True),
        USERNAME: _group(True, (one for filter in gerrit for one in filter.usernames), blank=True),
        VOTER_EMAIL: _group(
            True, _given(rule.email for rule in rules), blank=all(rule.email is None for rule in rejected)
        ),
        VOTER_USERNAME: _group(
            True, _given(rule.username for rule in rules), blank=all(rule.username is None for rule in rejected)
        ),
        BRANCH: _group(False, [*(one for filter in gerrit for one in filter.branches), *branches]),
        REF: _group(False, [*(one for filter in gerrit for one in filter.refs), *branches]),
        FILE: _group(
            False, [*(one for job in jobs for one in job.files), *(one for s in skips for one in s.all_files or ())]
        ),
        PROJECT: _group(False, _given(skip.project for skip in skips)),
    }
    return {kind: group for kind, group in groups.items() if group.patterns}


def texts_of(event: Bringing) -> Iterator[Text]:
    """All that patterns may be tried on; some may be there twice."""
    if isinstance(event, Triggered):
        trigger = event.trigger
        account = trigger.account or Account()
        yield Text(BRANCH, trigger.branch or "")
        yield Text(REF, trigger.ref or "")
        yield Text(COMMENT, trigger.comment or "")
        yield Text(EMAIL, account.email)
        yield Text(USERNAME, account.username)
    for subject in event.facts:
        yield Text(PROJECT, subject.project)
        if isinstance(subject, Ref):
            yield Text(REF, subject.ref)
        elif isinstance(subject, Change):
            yield Text(BRANCH, subject.branch)
            yield from (Text(FILE, file) for file in subject.files)
            for vote in subject.approvals:
                yield Text(VOTER_EMAIL, vote.by.email)
                yield Text(VOTER_USERNAME, vote.by.username)


def blanked(event: E, bad: Collection[Text], marks: tuple[str, ...]) -> E:
    """The event without these texts, marked with what happened to it."""
    facts = tuple(_blank_votes(subject, bad) for subject in event.facts)
    if isinstance(event, Triggered):
        trigger = event.trigger
        if trigger.account is not None:
            account = _blank_account(trigger.account, bad, EMAIL, USERNAME)
            trigger = msgspec.structs.replace(trigger, account=account)
        if Text(COMMENT, trigger.comment or "") in bad:
            trigger = msgspec.structs.replace(trigger, comment="")
        return msgspec.structs.replace(event, trigger=trigger, facts=facts, blanked=marks)
    return msgspec.structs.replace(event, facts=facts, blanked=marks)


def _conditions(
    pipelines: Iterable[Pipeline],
) -> tuple[list[GerritFilter], list[ApprovalRule], list[ApprovalRule]]:
    """Filters of Gerrit events; votes that are rejected; votes that are required."""
    gerrit: list[GerritFilter] = []
    rejected: list[ApprovalRule] = []
    required: list[ApprovalRule] = []
    for pipeline in pipelines:
        rejected += pipeline.reject
        required += pipeline.require.approvals
        for condition in pipeline.triggers:
            if isinstance(condition, GerritFilter | ZuulFilter):
                rejected += condition.reject
                required += condition.require
            if isinstance(condition, GerritFilter):
                gerrit.append(condition)
    return gerrit, rejected, required


def _group(search: bool, patterns: Iterable[str], *, blank: bool = False) -> Group:
    return Group(search, tuple(dict.fromkeys(patterns)), blank)


def _given(patterns: Iterable[str | None]) -> Iterator[str]:
    return (one for one in patterns if one is not None)


def _blank_votes(subject: Subject, bad: Collection[Text]) -> Subject:
    if not isinstance(subject, Change):
        return subject
    return msgspec.structs.replace(subject, approvals=tuple(_blank_vote(vote, bad) for vote in subject.approvals))


def _blank_vote(vote: Approval, bad: Collection[Text]) -> Approval:
    return msgspec.structs.replace(vote, by=_blank_account(vote.by, bad, VOTER_EMAIL, VOTER_USERNAME))


def _blank_account(account: Account, bad: Collection[Text], email: str, username: str) -> Account:
    return msgspec.structs.replace(
        account,
        email="" if Text(email, account.email) in bad else account.email,
        username="" if Text(username, account.username) in bad else account.username,
    )
