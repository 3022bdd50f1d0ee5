"""What is tested: a change in Gerrit, a ref that was updated, a project now and then. Facts as Gerrit gave them."""

from msgspec import Struct, field

ZERO_REVISION = "0" * 40


class Account(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person or a robot in Gerrit."""

    name: str = ""
    email: str = ""
    username: str = ""


class Approval(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One vote on a patch set."""

    label: str  # as Gerrit spells it; compare with `normal_label`
    value: int
    by: Account = field(default_factory=Account)
    granted_on: int = 0  # epoch seconds; 0 in events, which do not say


class SubmitRecord(Struct, frozen=True, kw_only=True):
    """What Gerrit says about submitting a change (`submitRecords` of a query)."""

    status: str  # OK, NOT_READY, CLOSED, RULE_ERROR ...
    labels: dict[str, str]  # label -> OK, MAY, NEED, REJECT, IMPOSSIBLE


class Change(Struct, frozen=True, kw_only=True, tag="change", omit_defaults=True):
    """One patch set of one change, with what decisions need."""

    connection: str
    project: str
    branch: str
    number: str
    patchset: str
    ref: str  # refs/changes/10/4710/2
    url: str = ""
    owner: Account | None = None
    status: str = "NEW"
    open: bool = True
    current: bool = True  # is this the newest patch set?
    approvals: tuple[Approval, ...] = ()  # of the *current* patch set
    files: tuple[str, ...] = ()  # of *this* patch set
    submit_records: tuple[SubmitRecord, ...] = ()
    needs: tuple[str, ...] = ()  # keys of changes that must land first: git parent, Depends-On
    needed_by: tuple[str, ...] = ()  # keys of open changes that need this one

    @property
    def key(self) -> str:
        """Name of this patch set in `State.subjects`."""
        return f"{self.connection}:{self.number},{self.patchset}"

    @property
    def id(self) -> str:
        """Name of this patch set for people: `NUMBER,PATCHSET`."""
        return f"{self.number},{self.patchset}"

    @property
    def merged(self) -> bool:
        return self.status == "MERGED"


class Ref(Struct, frozen=True, kw_only=True, tag="ref", omit_defaults=True):
    """An update of a branch or tag that is not a change."""

    connection: str
    project: str
    ref: str  # as the event spells it
    oldrev: str
    newrev: str
    url: str = ""

    @property
    def key(self) -> str:
        return f"{self.connection}:{self.project} {self.ref} {self.newrev}"

    @property
    def id(self) -> str:
        return self.newrev


class Tick(Struct, frozen=True, kw_only=True, tag="tick", omit_defaults=True):
    """A timer fired: there is only a project."""

    connection: str
    project: str
    url: str = ""

    @property
    def key(self) -> str:
        return f"{self.connection}:{self.project} timer"

    @property
    def id(self) -> str:
        """Nothing that people could name."""
        return ""


Subject = Change | Ref | Tick


def change_key(connection: str, number: str, patchset: str) -> str:
    """The `key` that a Change of these three has."""
    return f"{connection}:{number},{patchset}"


def normal_label(label: str) -> str:
    """Gerrit shows `Code Review`, sites write `code-review`: one form for comparing."""
    return label.lower().replace(" ", "-")
