"""zuul.conf, typed. Everything is checked at once.

An option that nobody knows is kept in `unknown`, not refused: a file of v2 works as it is. Only in a section that v2
did not have it is a mistake.

Each structure below is a section and each of its fields an option of that name; one without a default must be given.
What only some programs need is checked by `require_for`. An option left empty counts as not given.
"""

import base64
import binascii
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from zuul_launcher import ini
from zuul_launcher.errors import ConfigurationError
from zuul_launcher.options import PARSERS, HostName, ListeningPort, Port
from zuul_launcher.yamlfile.reading import alike

SEARCH = (Path("/etc/zuul/zuul.conf"), Path("~/zuul.conf"))  # the first that exists is read
DAY = 24 * 3600

Program = Literal["scheduler", "merger", "gearman", "worker", "client"]


class Gearman(Struct, frozen=True, kw_only=True):
    server: HostName | None = None
    port: Port = Port(4730)
    check_job_registration: bool = True

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to. Raises ConfigurationError without a server."""
        if self.server is None:
            raise ConfigurationError("zuul.conf has no [gearman] server: name the host of the Gearman server there")
        return str(self.server), self.port


class GearmanServer(Struct, frozen=True, kw_only=True):
    start: bool = False
    listen_address: str | None = None  # None: all addresses
    port: ListeningPort = ListeningPort(4730)
    log_config: Path | None = None


class Webapp(Struct, frozen=True, kw_only=True):
    listen_address: str = "0.0.0.0"  # noqa: S104 - what v2 does
    port: ListeningPort = ListeningPort(8001)


class Zuul(Struct, frozen=True, kw_only=True):
    layout_config: Path | None = None
    log_config: Path | None = None
    pidfile: Path = Path("/var/run/zuul/zuul.pid")
    state_dir: Path = Path("/var/lib/zuul")
    report_times: bool = True
    status_url: str | None = None
    status_expiry: int = 1  # seconds
    url_pattern: str | None = None
    job_name_in_report: bool = False

    @property
    def layout(self) -> Path:
        """The layout file. Raises ConfigurationError if none is set."""
        if self.layout_config is None:
            raise ConfigurationError("zuul.conf has no [zuul] layout_config: give the path of layout.yaml there")
        return self.layout_config


class Merger(Struct, frozen=True, kw_only=True):
    zuul_url: str | None = None  # None: the page serves the repositories at /p/
    git_dir: Path = Path("/var/lib/zuul/git")
    git_user_email: str | None = None
    git_user_name: str | None = None
    log_config: Path | None = None
    pidfile: Path = Path("/var/run/zuul-merger/zuul-merger.pid")
    git_timeout: int = 300  # seconds that one git command may take
    ref_expiry: int = 14 * DAY  # seconds that a prepared ref is kept; 0: for ever


class Database(Struct, frozen=True, kw_only=True):
    dburi: str = ""  # filled in: zuul.sqlite in the state_dir
    keep_days: int = 30  # of the journal
    history_days: int = 0  # of builds; 0: for ever


class Worker(Struct, frozen=True, kw_only=True):
    name: str | None = None  # of the manager; None: the host's full name
    jobs: Path | None = None  # jobs.yaml, or a folder of such files
    jjb: Path | None = None  # a file or folder of Jenkins Job Builder
    jjb_dialect: int = 6  # 4: include-raw is not formatted, missing names are tolerated
    jjb_ignore: str = ""  # parts that may be left out, separated by commas
    nodes: Path | None = None  # nodes.yaml; None: this machine alone
    secrets: Path | None = None
    executors: int = 2  # of this machine
    labels: str = ""  # of this machine, separated by white space
    exclusive: bool = False  # this machine runs only jobs that ask for its labels
    user: HostName | None = None  # that builds of this machine run as, if the worker is root
    url: str | None = None  # of its pages, as people reach them; None: builds report no url
    listen_address: str = "127.0.0.1"
    port: ListeningPort = ListeningPort(8002)
    dburi: str = ""  # filled in: worker.sqlite in the folder `worker` of the state_dir
    log_config: Path | None = None
    kill_grace: int = 10  # seconds between TERM and KILL
    on_connection_loss: str = "finish"  # or abort, after lost_grace
    lost_grace: int = 60  # seconds
    result_memory: int = 3600  # seconds in which a build that is asked for again gets its stored result
    status_interval: int = 0  # seconds between WORK_STATUS packets; 0: only the first
    disk_free: int = 256  # MiB that a node needs to take builds
    qualify_ids: bool = False  # client ids begin with the name of the manager
    jenkins_compat: bool = False  # builds see JENKINS_URL


class GerritConnection(Struct, frozen=True, kw_only=True):
    driver: ClassVar[str] = "gerrit"
    name: str
    server: HostName
    user: HostName
    port: Port = Port(29418)
    sshkey: Path | None = None  # None: what SSH finds by itself
    baseurl: str = ""  # filled in: https://SERVER; never ends with a slash
    keepalive: int = 60  # seconds, 0 = off
    strip_branch_ref: bool = False
    event_delay: int = 0  # seconds
    known_hosts: Path = field(default_factory=lambda: Path("~/.ssh/known_hosts").expanduser())
    host_key: str | None = None  # pinned: "TYPE BASE64"; known_hosts is not looked at then


class SmtpConnection(Struct, frozen=True, kw_only=True):
    driver: ClassVar[str] = "smtp"
    name: str
    server: HostName = HostName("localhost")
    port: Port = Port(25)
    default_from: str = "zuul"
    default_to: str = "zuul"


class SqlConnection(Struct, frozen=True, kw_only=True):
    driver: ClassVar[str] = "sql"
    name: str
    dburi: str


Connection = GerritConnection | SmtpConnection | SqlConnection


class Unread(Struct, frozen=True, kw_only=True):
    """Something in the file that no program of ours reads; option None = the whole section."""

    section: str
    option: str | None
    line: int
    of_v2: bool = False  # v2 had a use for it, we have none (swift, the Ansible launcher)


class Settings(Struct, frozen=True, kw_only=True):
    file: Path
    gearman: Gearman = Gearman()
    gearman_server: GearmanServer = GearmanServer()
    webapp: Webapp = Webapp()
    zuul: Zuul = Zuul()
    merger: Merger = Merger()
    database: Database
    worker: Worker | None = None  # None: there is no such section
    connections: dict[str, Connection] = {}
    unknown: tuple[Unread, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def drivers(self) -> dict[str, str]:
        """Connection name -> driver: what the layout may refer to."""
        return {name: connection.driver for name, connection in self.connections.items()}


class SettingsErrors(ConfigurationError):
    """All mistakes of one zuul.conf, each `FILE:LINE: text, what to do`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(path: Path | None = None, search: tuple[Path, ...] = SEARCH) -> Settings:
    """The settings in `path`, or in the first file of `search`. Raises ConfigurationError."""
    if path is None:
        path = next((place.expanduser() for place in search if place.expanduser().exists()), None)
        if path is None:
            places = " or ".join(str(place) for place in search)
            raise ConfigurationError(f"there is no zuul.conf: write {places}, or name one with --config")
    try:
        sections, faults = ini.read(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}: name another file with --config") from error
    reading = _Reading(path, sections)
    reading.problems += [(fault.line, fault.message) for fault in faults]
    settings = reading.settings()
    if reading.problems:
        raise SettingsErrors([f"{path}:{line}: {message}" for line, message in sorted(reading.problems)])
    return settings


def require_for(settings: Settings, program: Program) -> None:
    """Raises ConfigurationError that names everything this program needs and the file does not give."""
    missing: list[str] = []
    if program != "gearman" and settings.gearman.server is None:
        missing.append("[gearman] server: name the host of the Gearman server")
    if program == "scheduler" and settings.zuul.layout_config is None:
        missing.append("[zuul] layout_config: give the path of layout.yaml")
    if program == "worker" and (settings.worker is None or not (settings.worker.jobs or settings.worker.jjb)):
        missing.append("[worker] jobs: give the path of jobs.yaml (or jjb: that of files of Jenkins Job Builder)")
    if missing:
        raise SettingsErrors([f"{settings.file}:1: the {program} needs {what}" for what in missing])


_DRIVERS: dict[str, type[Connection]] = {
    kind.driver: kind for kind in (GerritConnection, SmtpConnection, SqlConnection)
}
_OURS = (Database, Worker)  # v2 had no such sections
_CONNECTION = re.compile(r"""connection (?P<quote>['"]?)(?P<name>.*)(?P=quote)""", re.IGNORECASE)
_ONLY_OF_V2 = re.compile(r"swift|launcher|(node|site) .*")

_Read = TypeVar("_Read", bound=Struct)


class _Reading:
    """One file being read: what was found wrong, odd or unknown so far."""

    def __init__(self, file: Path, sections: dict[str, ini.Section]) -> None:
        self.file = file
        self.sections = sections
        self.problems: list[tuple[int, str]] = []
        self.unknown: list[Unread] = []
        self.warnings: list[str] = []
        self.connections: dict[str, Connection] = {}

    def settings(self) -> Settings:
        zuul = self._read("zuul", Zuul)
        database = self._read("database", Database)
        if not database.dburi:
            default = f"sqlite:///{zuul.state_dir}/zuul.sqlite"
            database = msgspec.structs.replace(database, dburi=default)
        gearman, server = self._read("gearman", Gearman), self._read("gearman_server", GearmanServer)
        webapp, merger = self._read("webapp", Webapp), self._read("merger", Merger)
        worker = self._read_worker(zuul.state_dir) if "worker" in self.sections else None
        self._read_connections()
        self._leftovers()
        self._warn_of_open_secrets(database)
        return Settings(
            file=self.file,
            gearman=gearman,
            gearman_server=server,
            webapp=webapp,
            zuul=zuul,
            merger=merger,
            database=database,
            worker=worker,
            connections=self.connections,
            unknown=tuple(self.unknown),
            warnings=tuple(self.warnings),
        )

    def _read(self, name: str, kind: type[_Read]) -> _Read:
        section = self.sections.get(name) or ini.Section(name, 1)
        return kind(**self._options(section, kind))

    def _read_worker(self, state_dir: Path) -> Worker:
        worker = self._read("worker", Worker)
        for option, value, words in (
            ("on_connection_loss", worker.on_connection_loss, ("finish", "abort")),
            ("jjb_dialect", worker.jjb_dialect, (4, 6)),
        ):
            if value not in words:
                line = self.sections["worker"].options[option].line
                message = f"[worker] {option} = {value!r} is unknown, write {words[0]} or {words[1]}"
                self.problems.append((line, message))
        return msgspec.structs.replace(worker, dburi=worker.dburi or f"sqlite:///{state_dir}/worker/worker.sqlite")

    def _options(self, section: ini.Section, kind: type[Struct]) -> dict[str, Any]:
        """Option -> value of all that can be read; what can not, and what is missing, becomes a problem."""
        values: dict[str, Any] = {}
        fields = msgspec.structs.fields(kind)
        wanted = {one.name: one for one in fields if one.name != "name" or not one.required}  # a connection's heads it
        for name, option in section.options.items():
            if name in wanted and option.value:
                parse, expected = PARSERS[wanted[name].type]
                try:
                    values[name] = parse(option.value)
                except (ValueError, KeyError, RuntimeError):
                    message = f"[{section.name}] {name} = {option.value!r} can not be read, write {expected}"
                    self.problems.append((option.line, message))
                    values.setdefault(name, None)
            elif name not in wanted and kind in _OURS and not option.is_default:
                hint = alike(name, wanted) or "remove it, or put what only %(...)s refers to into [DEFAULT]"
                self.problems.append((option.line, f"[{section.name}] has no option {name!r}, {hint}"))
            elif name not in wanted and name != "driver":
                self.unknown.append(Unread(section=section.name, option=name, line=option.line))
        for one in wanted.values():
            if one.required and one.name not in values:
                self.problems.append((section.line, f"[{section.name}] needs `{one.name} = ...`, add it"))
                values[one.name] = None
        return values

    def _read_connections(self) -> None:
        for section, name in self._connection_sections():
            driver = section.options.get("driver")
            if driver is None or not driver.value:
                message = f"No driver specified for connection {name}. Write `driver = ...` below [{section.name}]"
                self.problems.append((section.line, message))
            elif driver.value not in _DRIVERS:
                message = f"Unknown driver, {driver.value}, for connection {name}: write {', '.join(_DRIVERS)}"
                self.problems.append((driver.line, message))
            else:
                self._read_connection(section, name, _DRIVERS[driver.value])
        for legacy, kind in (("gerrit", GerritConnection), ("smtp", SmtpConnection)):
            section = self.sections.get(legacy) or ini.Section(legacy, 0)
            if section.line and any(name == legacy for _, name in self._connection_sections()):
                text = f"[{legacy}] is ignored, since there is a [connection {legacy}]: remove one of them"
                self.warnings.append(f"{self.file}:{section.line}: {text}")
            elif section.line:
                self._read_connection(section, legacy, kind)

    def _connection_sections(self) -> Iterator[tuple[ini.Section, str]]:
        for section in self.sections.values():
            if found := _CONNECTION.fullmatch(section.name):
                yield section, found["name"]

    def _read_connection(self, section: ini.Section, name: str, kind: type[Connection]) -> None:
        values = self._options(section, kind)
        if kind is GerritConnection:
            values["baseurl"] = (values.get("baseurl") or f"https://{values['server']}").rstrip("/")
            if not _is_host_key(values.get("host_key")):
                line = section.options["host_key"].line
                message = f"[{section.name}] host_key can not be read, write `TYPE BASE64` as ssh-keyscan prints them"
                self.problems.append((line, message))
        self.connections[name] = kind(name=name, **values)

    def _leftovers(self) -> None:
        read = {"zuul", "database", "gearman", "gearman_server", "webapp", "merger", "worker", "gerrit", "smtp"}
        for section in self.sections.values():
            if section.name not in read and not _CONNECTION.fullmatch(section.name):
                of_v2 = bool(_ONLY_OF_V2.fullmatch(section.name))
                self.unknown.append(Unread(section=section.name, option=None, line=section.line, of_v2=of_v2))

    def _warn_of_open_secrets(self, database: Database) -> None:
        uris = [database.dburi, *(one.dburi for one in self.connections.values() if isinstance(one, SqlConnection))]
        if any(_has_password(uri) for uri in uris) and _world_readable(self.file):
            self.warnings.append(f"{self.file}:1: everybody can read the database password here, chmod o-r this file")
        for connection in self.connections.values():
            key = connection.sshkey if isinstance(connection, GerritConnection) else None
            if key and _world_readable(key):
                self.warnings.append(f"{key}:1: everybody can read this private key, chmod 600 it")


def _is_host_key(text: str | None) -> bool:
    if text is None:
        return True
    words = text.split()
    try:
        return len(words) == 2 and bool(base64.b64decode(words[1], validate=True))
    except binascii.Error:
        return False


def _has_password(uri: str | None) -> bool:
    try:
        return bool(uri and urlsplit(uri).password)
    except ValueError:
        return False


def _world_readable(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
