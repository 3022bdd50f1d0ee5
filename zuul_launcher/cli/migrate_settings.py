"""What a zuul.conf of v2 means elsewhere than there, as `layout/migrate.py` tells it of the layout."""

from collections.abc import Callable, Mapping

from zuul_launcher.ini import Section
from zuul_launcher.layout.migrate import Finding, Kind
from zuul_launcher.settings import GerritConnection, Settings

FALSE_IN_V2 = "off means off; in v2 any text was on"
GEARMAN_PORT = "4730"


def settings_findings(
    settings: Settings, sections: Mapping[str, Section], knows_host: Callable[[GerritConnection], bool]
) -> list[Finding]:
    """In the order of kinds and lines. `sections`: of the same file. `knows_host`: is its key in a file, or pinned?"""
    found: list[Finding] = []

    def add(kind: Kind, line: int, text: str, row: int | None = None) -> None:
        found.append(Finding(kind, str(settings.file), line, text, row))

    unread = {one.section for one in settings.unknown if one.option is None}
    for section in sections.values():
        if section.name not in unread:
            add("kept", section.line, f"[{section.name}] is read as it is")
    for one in settings.unknown:
        what = f"[{one.section}]" + (f" {one.option}" if one.option else "")
        if one.of_v2:
            add("unsupported", one.line, f"{what}: there is no such part here; take it out when nothing needs it")
        else:
            add("kept", one.line, f"{what} is ignored; no program of v2 that was replaced here reads it")
    _look_at_programs(settings, sections, add)
    for connection in settings.connections.values():
        if isinstance(connection, GerritConnection):
            section = _section_of(connection.name, sections)
            _look_at_gerrit(connection, section, add)
            if not knows_host(connection):
                text = f"a host whose key nobody told: add the key of {connection.server} to {connection.known_hosts}, "
                add("unsupported", section.line, text + "or write `host_key = TYPE BASE64`; v2 took any key", 34)
            others = [one for one in _gerrits(settings) if one.server == connection.server and one != connection]
            if others:
                add("changes", section.line, f"another connection to {connection.server} loses no events any more", 40)
    return sorted(found, key=lambda one: (one.kind, one.line, one.row or 0))


def _look_at_programs(
    settings: Settings, sections: Mapping[str, Section], add: Callable[[Kind, int, str, int | None], None]
) -> None:
    for name in ("zuul", "merger", "gearman_server"):
        option = sections[name].options.get("log_config") if name in sections else None
        if option is not None:
            text = "read as it is, but loggers are called zuul_launcher.*, no longer zuul.* and gerrit.*"
            add("changes", option.line, text, None)
    server = sections.get("gearman_server")
    if server is not None and settings.gearman_server.start:
        add("changes", server.line, "the Gearman server is a process of its own, and goes on when the others end", 35)
        port = server.options.get("port")
        if port is not None and port.value != GEARMAN_PORT:
            add(
                "changes",
                port.line,
                f"the Gearman server has port {port.value}; in v2 it always had {GEARMAN_PORT}",
                27,
            )
    if "zuul" in sections:
        text = "events and times that v2 left in its state_dir are not taken over"
        add("changes", sections["zuul"].line, text, None)


def _look_at_gerrit(
    connection: GerritConnection, section: Section, add: Callable[[Kind, int, str, int | None], None]
) -> None:
    strip = section.options.get("strip_branch_ref")
    if strip is not None and strip.value and not connection.strip_branch_ref:
        add("changes", strip.line, FALSE_IN_V2, 27)
    if not connection.event_delay:
        add(
            "changes",
            section.line,
            "events are worked on at once; v2 waited 10 s (write `event_delay = 10` for that)",
            36,
        )


def _gerrits(settings: Settings) -> list[GerritConnection]:
    return [one for one in settings.connections.values() if isinstance(one, GerritConnection)]


def _section_of(name: str, sections: Mapping[str, Section]) -> Section:
    """Of a connection: `[connection NAME]`, else the old `[gerrit]`."""
    for section in sections.values():
        first, _, rest = section.name.partition(" ")
        if first.lower() == "connection" and rest.strip("'\"") == name:
            return section
    return sections[name]
