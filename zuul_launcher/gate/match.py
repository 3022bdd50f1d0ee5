"""Does this event, this change, this job fit? Filters and requirements against facts; decides nothing else.

"match" is anchored at the start, "search" is not; both as Python's `re` has them.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from zuul_launcher.model.change import ZERO_REVISION, Approval, Change, Ref, Subject, normal_label
from zuul_launcher.model.events import Trigger
from zuul_launcher.model.layout import ApprovalRule, GerritFilter, Job, JobNode, Layout, Pipeline, SkipIf, ZuulFilter

COMMIT_MESSAGE = "/COMMIT_MSG"
MERGED = "project-change-merged"  # the two events of a `zuul` trigger
PARENT_ENQUEUED = "parent-change-enqueued"

compiled = lru_cache(maxsize=None)(re.compile)


def matches(patterns: Iterable[str], text: str | None) -> bool:
    return text is not None and any(compiled(pattern).match(text) for pattern in patterns)


def found(patterns: Iterable[str], text: str | None) -> bool:
    return bool(text) and any(compiled(pattern).search(text) for pattern in patterns)


def rule_met(rule: ApprovalRule, approvals: Iterable[Approval], at: float) -> bool:
    """Is there one vote that fulfils every field of the rule?"""
    return any(_vote_fulfils(rule, vote, at) for vote in approvals)


def _vote_fulfils(rule: ApprovalRule, vote: Approval, at: float) -> bool:
    if rule.username is not None and not compiled(rule.username).search(vote.by.username):
        return False
    if rule.email is not None and not compiled(rule.email).search(vote.by.email):
        return False
    if rule.newer_than is not None and vote.granted_on < at - rule.newer_than:
        return False
    if rule.older_than is not None and vote.granted_on >= at - rule.older_than:
        return False
    label = normal_label(vote.label)
    return all(name == label and vote.value in values for name, values in rule.labels.items())


def approvals_fit(
    require: Iterable[ApprovalRule], reject: Iterable[ApprovalRule], approvals: tuple[Approval, ...], at: float
) -> bool:
    """Every required rule is met, and no rejected one. (A change without votes passes a reject list.)"""
    return all(rule_met(rule, approvals, at) for rule in require) and not any(
        rule_met(rule, approvals, at) for rule in reject
    )


def accepts(condition: GerritFilter, trigger: Trigger, subject: Subject, at: float) -> bool:
    """All conditions given hold; alternatives inside one are OR-ed. An event without account passes e-mail and user
    name conditions; an account without e-mail does not."""
    if trigger.connection != condition.connection or not matches(condition.events, trigger.type):
        return False
    if condition.branches and not matches(condition.branches, trigger.branch):
        return False
    if condition.refs and not matches(condition.refs, trigger.ref):
        return False
    if condition.ignore_deletes and trigger.newrev == ZERO_REVISION:
        return False
    if condition.comments and not found(condition.comments, trigger.comment):
        return False
    if trigger.account is not None:
        if condition.emails and not found(condition.emails, trigger.account.email):
            return False
        if condition.usernames and not found(condition.usernames, trigger.account.username):
            return False
    given = {(normal_label(vote.label), vote.value) for vote in trigger.approvals}
    if not given.issuperset(condition.approvals.items()):
        return False
    approvals = subject.approvals if isinstance(subject, Change) else ()
    return approvals_fit(condition.require, condition.reject, approvals, at)


def hears(condition: ZuulFilter, event: str, subject: Subject, at: float, enqueued_in: str | None = None) -> bool:
    """Does a `zuul` trigger take this event about a change? `enqueued_in`: the pipeline where its parent went."""
    if event not in condition.events:
        return False
    if condition.pipelines and not matches(condition.pipelines, enqueued_in):
        return False
    approvals = subject.approvals if isinstance(subject, Change) else ()
    return approvals_fit(condition.require, condition.reject, approvals, at)


def requirement_missing(pipeline: Pipeline, subject: Subject, at: float) -> str | None:
    """The first of the pipeline's requirements that this subject does not satisfy, in words; None = fits."""
    if not isinstance(subject, Change):
        return None
    require = pipeline.require
    if require.open is not None and subject.open != require.open:
        return "it is not open" if require.open else "it is open"
    if require.current_patchset and not subject.current:
        return "it is not the current patch set"
    if require.statuses and subject.status not in require.statuses:
        return f"its status is {subject.status}"
    if not approvals_fit(require.approvals, (), subject.approvals, at):
        return "a required approval is missing"
    if not approvals_fit((), pipeline.reject, subject.approvals, at):
        return "it has an approval that the pipeline rejects"
    return None


def allowed_needs(pipeline: Pipeline) -> frozenset[str]:
    """Labels that the pipeline's own success report sets: they may still be missing before."""
    return frozenset(normal_label(key) for reporter in pipeline.success for key in reporter.options)


def can_merge(pipeline: Pipeline, subject: Subject) -> bool:
    """Would Gerrit submit it, once the labels that this pipeline sets are there? (`submitRecords`, in order)"""
    if not isinstance(subject, Change):
        return True
    if not subject.open:
        return False
    allowed = allowed_needs(pipeline)
    for record in subject.submit_records:
        if record.status == "OK":
            return True
        if record.status != "NOT_READY":
            return False
        for label, status in record.labels.items():
            if status in ("OK", "MAY"):
                continue
            if status not in ("NEED", "REJECT") or normal_label(label) not in allowed:
                return False
    return bool(subject.submit_records)


def job_applies(job: Job, subject: Subject) -> bool:
    """Does the job run for this subject, by its own filters?"""
    branch = branch_of(subject)
    files = subject.files if isinstance(subject, Change) else ()
    if job.branches and not matches(job.branches, branch):
        return False
    if job.files and not any(matches(job.files, file) for file in files):
        return False
    return not any(_skips(predicate, subject.project, branch, files) for predicate in job.skip_if)


def branch_of(subject: Subject) -> str | None:
    """What branch filters see: the branch of a change, the ref of an update, nothing for a timer."""
    if isinstance(subject, Change):
        return subject.branch
    return subject.ref if isinstance(subject, Ref) else None


def _skips(predicate: SkipIf, project: str, branch: str | None, files: tuple[str, ...]) -> bool:
    if predicate.project is not None and not matches((predicate.project,), project):
        return False
    if predicate.branch is not None and not matches((predicate.branch,), branch):
        return False
    if predicate.all_files is None:
        return True
    # A merge commit lists nothing but its message: it touches files that nobody names.
    return len(files) > 1 and all(file == COMMIT_MESSAGE or matches(predicate.all_files, file) for file in files)


def jobs_for(layout: Layout, pipeline: str, subject: Subject) -> tuple[str, ...]:
    """The jobs that run for this subject, in tree order, each once. One that does not apply takes its subtree along."""
    project = layout.projects.get(subject.project)
    chosen: dict[str, None] = {}

    def visit(nodes: tuple[JobNode, ...]) -> None:
        for node in nodes:
            if job_applies(layout.jobs[node.job], subject):
                chosen.setdefault(node.job)
                visit(node.children)

    visit(project.pipelines.get(pipeline, ()) if project else ())
    return tuple(chosen)
