"""A job, as jobs.yaml or a Jenkins Job Builder file describes it, checked and with its defaults filled in. Nouns only.

Times are seconds, sizes bytes, paths are relative to the workspace if nothing else is said.
"""

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from zuul_launcher.worker.definitions.labels import Expression

MINUTE = 60
DAY = 24 * 3600
# The name of a parameter that steps see as a variable, and that `${NAME}` can stand for.
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

# When a step or publisher runs: "success": nothing failed so far, "failure": something did, "always", or a result word
# in capitals: the result so far is that one.
When = str
Result = Literal["SUCCESS", "FAILURE", "UNSTABLE", "POST_FAILURE", "TIMED_OUT", "ABORTED"]
Clean = Literal["never", "success", "always"]


class Place(Struct, frozen=True):
    """Where a definition stands, counted from 1."""

    file: str = ""
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Shell(Struct, frozen=True, kw_only=True, tag="shell"):
    """A script: `bash -xe`, or what its `#!` line names."""

    text: str
    name: str = ""
    when: tuple[When, ...] = ("success",)
    timeout: float | None = None
    env: Mapping[str, str] = {}
    keep_processes: bool = False  # what it leaves running is not ended
    essential: bool = True  # False: its failure does not count


class Trigger(Struct, frozen=True, kw_only=True, tag="trigger"):
    """Submits builds of other jobs to the Gearman server."""

    jobs: tuple[str, ...]
    parameters: Mapping[str, str] = {}  # `${NAME}` stands for a parameter or variable of this build: ${JOB_NAME}
    pass_parameters: bool = False  # those of this build, too
    wait: bool = False  # for their results: the worst one is this step's
    name: str = ""
    when: tuple[When, ...] = ("success",)
    timeout: float | None = None
    essential: bool = True  # False: its failure does not count


Step = Shell | Trigger


class Git(Struct, frozen=True, kw_only=True):
    """Sources from git; `${NAME}` stands for a parameter."""

    url: str = "${ZUUL_URL}/${ZUUL_PROJECT}"
    ref: str = "${ZUUL_REF}"
    commit: str = "${ZUUL_COMMIT}"  # empty: whatever the ref is
    clean: bool = True
    submodules: bool = False
    folder: str = ""  # below the workspace


class Artifacts(Struct, frozen=True, kw_only=True, tag="artifacts"):
    """Files of the workspace that the manager keeps."""

    paths: tuple[str, ...]  # Ant globs
    excludes: tuple[str, ...] = ()
    allow_empty: bool = False
    when: tuple[When, ...] = ("always",)


class JUnit(Struct, frozen=True, kw_only=True, tag="junit"):
    """Test reports that are summed up on the node."""

    paths: tuple[str, ...]
    on_failure: Literal["unstable", "failure"] = "unstable"
    allow_empty: bool = False
    when: tuple[When, ...] = ("always",)


class CopyFiles(Struct, frozen=True, kw_only=True):
    """One part of a Copy: what goes where."""

    source: str = ""  # Ant glob; empty: only the console
    excludes: tuple[str, ...] = ()
    target: str = ""  # folder below the site's root; `${NAME}` stands for a parameter or variable of the build
    keep_hierarchy: bool = False
    copy_console: bool = False  # the console as console.txt, complete, after all else
    copy_after_failure: bool = False


class Copy(Struct, frozen=True, kw_only=True, tag="copy"):
    """Files to a log site: a folder of the manager or an SFTP server (JJB: scp)."""

    site: str
    files: tuple[CopyFiles, ...]
    when: tuple[When, ...] = ("always",)


class Script(Struct, frozen=True, kw_only=True, tag="script"):
    """Steps among the publishers (JJB: postbuildscript)."""

    steps: tuple[Step, ...]
    when: tuple[When, ...] = ("always",)
    marks: Literal["POST_FAILURE", "FAILURE", "UNSTABLE"] = "POST_FAILURE"  # what a failure makes of the build


Publisher = Artifacts | JUnit | Copy | Script


class Credential(Struct, frozen=True, kw_only=True):
    """A secret of the worker's store that a job may have: as a variable, or as a file whose path is the variable."""

    variable: str
    secret: str  # its id in the store
    kind: Literal["text", "file", "username", "password", "ssh-agent"] = "text"


class Throttle(Struct, frozen=True, kw_only=True):
    group: str
    most: int  # builds of the group at once on this manager


class Keep(Struct, frozen=True, kw_only=True):
    """How long builds are remembered; None: without end."""

    days: int | None = 30
    builds: int | None = None


class Job(Struct, frozen=True, kw_only=True):
    name: str
    steps: tuple[Step, ...]
    place: Place = Place()
    description: str = ""
    disabled: bool = False
    node: Expression | None = None
    timeout: float | None = 30 * MINUTE  # wall time of the steps
    timeout_result: Literal["TIMED_OUT", "ABORTED", "FAILURE"] = "TIMED_OUT"
    timeout_variable: str = ""  # gets the timeout in milliseconds
    publish_timeout: float = 10 * MINUTE
    concurrent: bool = True
    throttle: Throttle | None = None
    workspace: str = ""  # a path of the node that is used by one build at a time; empty: NODE_ROOT/workspace/JOB
    scm: Git | None = None
    env: Mapping[str, str] = {}
    params: Mapping[str, str] = {}  # defaults of parameters
    allow_params: tuple[str, ...] = ()  # protected names that parameters of this job may set
    credentials: tuple[Credential, ...] = ()
    publish: tuple[Publisher, ...] = ()
    cleanup: Clean = "never"
    clean_first: bool = False  # empty the workspace before the sources
    keep: Keep = Keep()
    retry_infra: int = 0  # tries after a lost node or source before the result is null


class NodeDefinition(Struct, frozen=True, kw_only=True):
    """A machine that runs builds: this one (host None), or one over SSH."""

    name: str
    host: str | None = None
    port: int = 22
    user: str = ""  # of SSH; here: the user that steps run as, if the manager is root
    key: str | None = None  # path of the private key; None: what SSH finds
    host_key: str | None = None  # pinned; else `known_hosts`
    known_hosts: str | None = None  # None: ~/.ssh/known_hosts
    python: str = "python3"
    root: str = ""  # folder of workspaces; empty: STATE_DIR/worker/nodes/NAME here, ~/zuul-launcher there
    labels: frozenset[str] = frozenset()
    exclusive: bool = False  # only jobs that ask for its labels
    executors: int = 1
    env: Mapping[str, str] = {}

    @property
    def is_local(self) -> bool:
        return self.host is None


class Site(Struct, frozen=True, kw_only=True):
    """Where `copy` publishes to: a folder of the manager (host None), or an SFTP server."""

    name: str
    root: str
    host: str | None = None
    port: int = 22
    user: str = ""
    key: str | None = None
    host_key: str | None = None
    known_hosts: str | None = None


class Definitions(Struct, frozen=True, kw_only=True):
    """Everything that a reload reads, as one value that is swapped at once."""

    jobs: Mapping[str, Job] = {}
    nodes: Mapping[str, NodeDefinition] = {}
    names_nodes: bool = False  # nodes.yaml says which nodes there are, or that there are none
    sites: Mapping[str, Site] = {}
    secrets: Mapping[str, Mapping[str, str]] = {}  # id -> text | file | username, password | private_key, passphrase
    problems: tuple[str, ...] = ()  # FILE:LINE:COLUMN: jobs that are not registered, and why
