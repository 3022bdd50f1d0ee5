"""The state of the gate: a plain tree that refers by id. Only `gate` changes it, only the loop owns it.

Fields are only ever added, with defaults, so that a snapshot of an older release decodes.
"""

from msgspec import Struct, field

from zuul_launcher.model.actions import Verdict
from zuul_launcher.model.change import Subject

FORMAT = 1


class Worker(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who runs a build, as the worker itself says (WORK_DATA)."""

    name: str = "Unknown"
    hostname: str | None = None
    ips: tuple[str, ...] = ()
    fqdn: str | None = None
    program: str | None = None
    version: str | None = None
    extra: dict[str, str | int | float | bool | None] = field(default_factory=dict)


class Build(Struct, kw_only=True, omit_defaults=True):
    """One run of a job."""

    uuid: str  # 32 hex digits; unique id of the Gearman job
    job: str
    voting: bool
    run: int  # 1, 2, ... over all launches of this build set: makes each uuid another one
    tries: int  # launches that count against the job's `attempts`, this one included
    launched_at: float  # epoch seconds, as all times here
    result: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    estimate: float | None = None  # seconds
    handle: str | None = None
    url: str | None = None
    number: int | str | None = None  # as the worker sent it
    manager: str | None = None
    worker: Worker | None = None
    node_name: str | None = None
    node_labels: tuple[str, ...] = ()


class BuildSet(Struct, kw_only=True, omit_defaults=True):
    """One attempt to test an item: a merge, and a build for each job."""

    ref: str | None = None  # Z + 32 hex digits, drawn when the merge is asked for
    ahead: tuple[str, ...] = ()  # ids of the items under test with it, oldest first, as merged
    merge: str = ""  # "" not asked for, "asked", "done", "failed"
    commit: str | None = None
    zuul_url: str | None = None
    conflicts: tuple[str, ...] = ()  # files
    merge_error: str | None = None  # what went wrong, if it was not a conflict
    builds: dict[str, Build] = field(default_factory=dict)  # job -> its newest run
    tries: dict[str, int] = field(default_factory=dict)  # job -> runs that ended without a result
    launches: int = 0
    failing_reasons: tuple[str, ...] = ()
    bypassed: bool = False  # another change landed, on which this was not tested: nothing built here may land any more


class Item(Struct, kw_only=True, omit_defaults=True):
    """A change or ref in a queue."""

    id: str
    pipeline: str
    subject: str  # key in State.subjects
    enqueued_at: float
    live: bool = True
    ahead: str | None = None  # the item that it is tested on top of
    jobs: tuple[str, ...] = ()  # those that apply, in tree order; empty for non-live items
    attempt: int = 1
    build_set: BuildSet = field(default_factory=BuildSet)
    reporting: Verdict | None = None  # set while the report is on its way
    refused: str | None = None  # a mistake of ours that keeps its events from being stepped
    needs_failed: bool = False  # a change that it depends on failed to merge


class Queue(Struct, kw_only=True, omit_defaults=True):
    """An ordered list of items. Dependent: one a shared queue; independent: one a live item."""

    name: str
    window: int = 0  # 0 = no limit
    items: list[str] = field(default_factory=list)


class PipelineState(Struct, kw_only=True, omit_defaults=True):
    queues: list[Queue] = field(default_factory=list)  # those in use, or whose window has moved
    failures: int = 0  # consecutive
    disabled: bool = False


class State(Struct, kw_only=True):
    """All that the gate knows. `epoch` is drawn when a state is created empty: no id is ever met again."""

    epoch: str
    format: int = FORMAT
    sequence: int = 0  # steps taken; numbers the items
    layout: str = ""  # content hash
    last_reconfigured: float | None = None
    layout_errors: tuple[str, ...] = ()  # of the last reload, if it was refused
    pipelines: dict[str, PipelineState] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    mutexes: dict[str, str] = field(default_factory=dict)  # name -> uuid of the build that holds it
