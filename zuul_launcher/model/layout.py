"""The parsed layout.yaml, as data: patterns are texts, functions are names; inherited and expanded already."""

from typing import Literal

from msgspec import Struct, field

Precedence = Literal["high", "normal", "low"]
MergeMode = Literal["merge", "merge-resolve", "cherry-pick"]


class ApprovalRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of require/reject approval: met by one vote that fulfils every field given."""

    labels: dict[str, tuple[int, ...]] = field(default_factory=dict)  # normal label -> accepted values
    username: str | None = None  # regex, searched
    email: str | None = None  # regex, searched
    newer_than: int | None = None  # seconds
    older_than: int | None = None  # seconds


class GerritFilter(Struct, frozen=True, kw_only=True, tag="gerrit", omit_defaults=True):
    """Accepts an event if all conditions that are given hold; alternatives inside one are OR-ed."""

    connection: str
    events: tuple[str, ...]  # regexes, matched
    branches: tuple[str, ...] = ()  # regexes, matched
    refs: tuple[str, ...] = ()  # regexes, matched
    comments: tuple[str, ...] = ()  # regexes, searched
    emails: tuple[str, ...] = ()  # regexes, searched
    usernames: tuple[str, ...] = ()  # regexes, searched
    approvals: dict[str, int] = field(default_factory=dict)  # normal label -> value, of the event; all needed
    require: tuple[ApprovalRule, ...] = ()  # of the change; all needed
    reject: tuple[ApprovalRule, ...] = ()  # of the change; none may be met
    ignore_deletes: bool = True


class TimerFilter(Struct, frozen=True, kw_only=True, tag="timer"):
    time: str  # cron


class ZuulFilter(Struct, frozen=True, kw_only=True, tag="zuul", omit_defaults=True):
    events: tuple[str, ...]
    pipelines: tuple[str, ...] = ()  # regexes, matched
    require: tuple[ApprovalRule, ...] = ()
    reject: tuple[ApprovalRule, ...] = ()


Filter = GerritFilter | TimerFilter | ZuulFilter


class Requirement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a change must satisfy to enter a pipeline."""

    open: bool | None = None
    current_patchset: bool | None = None
    statuses: tuple[str, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()


class Reporter(Struct, frozen=True, kw_only=True):
    """Where a verdict goes: a connection, and what is said there besides the text."""

    connection: str
    options: dict[str, str | int | bool | float | None]  # as written: labels, submit, tag, to, from, subject, score


class Window(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many items of a dependent queue are active at once, and how that number moves. start 0 = no limit."""

    start: int = 20
    floor: int = 3
    increase_type: Literal["linear", "exponential"] = "linear"
    increase_factor: int = 1
    decrease_type: Literal["linear", "exponential"] = "exponential"
    decrease_factor: int = 2


class Pipeline(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    kind: Literal["independent", "dependent"]
    description: str | None = None
    source: str = "gerrit"  # connection that knows this pipeline's changes
    precedence: Precedence = "normal"
    triggers: tuple[Filter, ...] = ()
    require: Requirement = field(default_factory=Requirement)
    reject: tuple[ApprovalRule, ...] = ()
    success_message: str = "Build succeeded."
    failure_message: str = "Build failed."
    merge_failure_message: str = (
        "Merge Failed.\n\nThis change or one of its cross-repo dependencies was unable to be automatically merged"
        " with the current state of its repository. Please rebase the change and upload a new patchset."
    )
    footer_message: str = ""
    start: tuple[Reporter, ...] = ()
    success: tuple[Reporter, ...] = ()
    failure: tuple[Reporter, ...] = ()
    merge_failure: tuple[Reporter, ...] = ()  # the loader puts `failure` here when the layout gives none
    disabled: tuple[Reporter, ...] = ()
    dequeue_on_new_patchset: bool = True
    ignore_dependencies: bool = False
    disable_after: int | None = None  # consecutive failures
    window: Window = field(default_factory=Window)
    shared_queues: dict[str, str] = field(default_factory=dict)  # dependent only: project -> name of its change queue


class SkipIf(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """True if all that is given holds (patterns are matched)."""

    project: str | None = None
    branch: str | None = None
    all_files: tuple[str, ...] | None = None


class Job(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job with everything that its regex entries gave it."""

    name: str
    queue_name: str | None = None
    success_message: str | None = None
    failure_message: str | None = None
    success_pattern: str | None = None
    failure_pattern: str | None = None
    hold_following_changes: bool = False
    voting: bool = True
    attempts: int = 3
    mutex: str | None = None
    tags: tuple[str, ...] = ()  # sorted
    parameter_function: str | None = None
    branches: tuple[str, ...] = ()  # regexes, matched
    files: tuple[str, ...] = ()  # regexes, matched
    skip_if: tuple[SkipIf, ...] = ()


class JobNode(Struct, frozen=True, array_like=True):
    """A job in a project's tree; children run after its success."""

    job: str
    children: "tuple[JobNode, ...]" = ()


class Project(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    merge_mode: MergeMode = "merge-resolve"
    pipelines: dict[str, tuple[JobNode, ...]] = field(default_factory=dict)


class Layout(Struct, frozen=True, kw_only=True):
    """Everything that layout.yaml says. Dictionaries keep the order of the file."""

    pipelines: dict[str, Pipeline]
    jobs: dict[str, Job]  # every job that any tree names
    projects: dict[str, Project]
    includes: tuple[str, ...] = ()  # absolute paths of python files, in order
