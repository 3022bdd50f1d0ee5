"""zuul.conf is read as Python 2 read it, and every mistake is told at once, with its line."""

import re
from pathlib import Path

import msgspec
import pytest

from zuul_launcher import ini
from zuul_launcher.errors import ConfigurationError
from zuul_launcher.settings import (
    Database,
    Gearman,
    GearmanServer,
    GerritConnection,
    Merger,
    Settings,
    SettingsErrors,
    SmtpConnection,
    SqlConnection,
    Webapp,
    Worker,
    Zuul,
    load,
    require_for,
)

SAMPLE = Path(__file__).parent.parent / "etc" / "zuul.conf-sample"

COMPLETE = """\
[gearman]
server=gearman.example.com
port=4731
check_job_registration=off

[gearman_server]
start=true
listen_address=127.0.0.1

[webapp]
port=8002

[zuul]
layout_config=/etc/zuul/layout.yaml
state_dir=/srv/zuul
report_times=No
status_expiry=5
url_pattern=https://logs.example.com/{build.parameters[LOG_PATH]}/100%

[merger]
git_dir=/srv/git
zuul_url=http://zm01.example.com/p

[connection review]
driver=gerrit
server=review.example.com
user=jenkins
sshkey=/nowhere/id_rsa
strip_branch_ref=0

[Connection "mail"]
driver=smtp

[connection 'rows']
driver=sql
dburi=mysql+pymysql://zuul@db/zuul
"""


def settings_of(text: str | bytes, directory: Path) -> Settings:
    file = directory / "zuul.conf"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(file)


def problems_of(text: str | bytes, directory: Path) -> list[str]:
    with pytest.raises(SettingsErrors) as caught:
        settings_of(text, directory)
    return [problem.removeprefix(str(directory / "zuul.conf")) for problem in caught.value.problems]


def test_days_are_read_where_the_database_is_the_default_one(tmp_path: Path) -> None:
    database = settings_of(COMPLETE + "[database]\nkeep_days=3\nhistory_days=400\n", tmp_path).database
    assert (database.dburi, database.keep_days, database.history_days) == ("sqlite:////srv/zuul/zuul.sqlite", 3, 400)


def test_a_file_of_v2_gives_typed_settings(tmp_path: Path) -> None:
    settings = settings_of(COMPLETE, tmp_path)
    assert settings.gearman.address == ("gearman.example.com", 4731)
    assert settings.gearman.check_job_registration is False
    assert (settings.gearman_server.start, settings.gearman_server.port) == (True, 4730)
    assert (settings.webapp.listen_address, settings.webapp.port) == ("0.0.0.0", 8002)
    assert settings.zuul.layout == Path("/etc/zuul/layout.yaml")
    assert (settings.zuul.report_times, settings.zuul.status_expiry) == (False, 5)
    assert settings.zuul.url_pattern == "https://logs.example.com/{build.parameters[LOG_PATH]}/100%"
    assert settings.merger.git_dir == Path("/srv/git")
    assert settings.database.dburi == "sqlite:////srv/zuul/zuul.sqlite"
    assert settings.drivers == {"review": "gerrit", "mail": "smtp", "rows": "sql"}
    assert settings.unknown == settings.warnings == ()


def test_connections_have_the_defaults_of_v2(tmp_path: Path) -> None:
    connections = settings_of(COMPLETE, tmp_path).connections
    gerrit, mail, rows = connections["review"], connections["mail"], connections["rows"]
    assert isinstance(gerrit, GerritConnection)
    assert (gerrit.port, gerrit.keepalive, gerrit.event_delay) == (29418, 60, 0)
    assert gerrit.baseurl == "https://review.example.com"
    assert gerrit.strip_branch_ref is False
    assert gerrit.known_hosts == Path("~/.ssh/known_hosts").expanduser()
    assert isinstance(mail, SmtpConnection)
    assert (mail.server, mail.port, mail.default_from, mail.default_to) == ("localhost", 25, "zuul", "zuul")
    assert isinstance(rows, SqlConnection)
    assert rows.dburi == "mysql+pymysql://zuul@db/zuul"


def test_the_ini_dialect_of_python_2_is_read() -> None:
    text = (
        "# comment\n; comment\nrem comment\n"
        "[One]\nKey : first ; comment\nother=a;b\nbare = 100%\n"
        "long = begins\n  goes on\n"
        "[one]\nkey=of another section\n"
        '[One]\nKEY=last\nempty=""\nref = %(key)s and 100%%\n'
    )
    sections, problems = ini.parse(text)
    assert problems == []
    values = {name: option.value for name, option in sections["One"].options.items()}
    assert values == {
        "key": "last",
        "other": "a;b",
        "bare": "100%",
        "long": "begins\ngoes on",
        "empty": "",
        "ref": "last and 100%",
    }
    assert sections["one"].options["key"].value == "of another section"
    assert sections["One"].options["key"].line == 13


def test_the_default_section_is_in_force_everywhere() -> None:
    sections, _ = ini.parse("[DEFAULT]\nserver=a\nport=1\n[gearman]\nport=2\n")
    assert {name: option.value for name, option in sections["gearman"].options.items()} == {"server": "a", "port": "2"}
    assert "DEFAULT" not in sections


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    text = "\ufeff[gearman]\r\nserver=gm\r\nport=4731\r\n".encode()
    assert settings_of(text, tmp_path).gearman.address == ("gm", 4731)


def test_all_mistakes_are_told_at_once_with_file_and_line(tmp_path: Path) -> None:
    text = """\
stray=1
[gearman]
port=70000
check_job_registration=maybe
[zuul]
status_expiry=soon
url_pattern=%(nothing)s
no value here
[connection a]
driver=gerrit
server=-oProxyCommand=x
[connection b]
[connection c]
driver=github
[connection d]
driver=sql
[connection e]
driver=gerrit
server=review
user=zuul
host_key=ssh-ed25519
"""
    assert problems_of(text, tmp_path) == [
        ":1: 'stray=1' stands before the first [section]",
        ":3: [gearman] port = '70000' can not be read, write a port, 1 to 65535",
        ":4: [gearman] check_job_registration = 'maybe' can not be read, write 1, yes, true, on, 0, no, false or off",
        ":6: [zuul] status_expiry = 'soon' can not be read, write a whole number",
        ":7: [zuul] url_pattern refers to %(nothing)s, which this section does not have",
        ":8: 'no value here' is neither a [section] nor an OPTION = VALUE",
        ":9: [connection a] needs `user = ...`, add it",
        ":11: [connection a] server = '-oProxyCommand=x' can not be read,"
        " write a name without white space, `@` and `/`, and without `-` in front",
        ":12: No driver specified for connection b. Write `driver = ...` below [connection b]",
        ":14: Unknown driver, github, for connection c: write gerrit, smtp, sql",
        ":15: [connection d] needs `dburi = ...`, add it",
        ":21: [connection e] host_key can not be read, write `TYPE BASE64` as ssh-keyscan prints them",
    ]


def test_values_that_refer_to_themselves_and_bytes_that_are_not_text_are_mistakes(tmp_path: Path) -> None:
    looping = problems_of("[zuul]\nstatus_url=%(pidfile)s\npidfile=%(status_url)s\n", tmp_path)
    assert looping == [
        ":2: [zuul] status_url refers to itself with %(...)s",
        ":3: [zuul] pidfile refers to itself with %(...)s",
    ]
    assert problems_of(b"[zuul]\nstatus_url=\xff\n", tmp_path) == [":2: this is not text in UTF-8"]


def test_legacy_sections_become_connections_unless_a_new_one_has_the_name(tmp_path: Path) -> None:
    legacy = "[gerrit]\nserver=review\nuser=zuul\nbaseurl=http://review/r/\n[smtp]\nserver=mail\n"
    settings = settings_of(legacy, tmp_path)
    assert settings.drivers == {"gerrit": "gerrit", "smtp": "smtp"}
    gerrit = settings.connections["gerrit"]
    assert isinstance(gerrit, GerritConnection)
    assert gerrit.baseurl == "http://review/r"

    settings = settings_of(legacy + "[connection smtp]\ndriver=smtp\nserver=other\n", tmp_path)
    assert settings.connections["smtp"].server == "other"
    assert len(settings.warnings) == 1
    assert f"{settings.file}:5: [smtp] is ignored" in settings.warnings[0]


def test_what_nobody_reads_is_kept_for_those_who_ask(tmp_path: Path) -> None:
    settings = settings_of("[zuul]\nlayout=x\n[swift]\nkey=1\n[node a]\n[zull]\n", tmp_path)
    assert [(one.section, one.option, one.line, one.of_v2) for one in settings.unknown] == [
        ("zuul", "layout", 2, False),
        ("swift", None, 3, True),
        ("node a", None, 5, True),
        ("zull", None, 6, False),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kill_grase=3", "[worker] has no option 'kill_grase', did you mean 'kill_grace'?"),
        ("driver=ssh", "[worker] has no option 'driver', remove it, or put what only %(...)s refers to into [DEFAULT]"),
        ("[database]\nhistory_day=3", "[database] has no option 'history_day', did you mean 'history_days'?"),
    ],
)
def test_an_option_that_nobody_knows_is_a_mistake_in_a_section_that_v2_did_not_have(
    text: str, problem: str, tmp_path: Path
) -> None:
    whole = f"[worker]\njobs=/j\n{text}"
    assert problems_of(whole, tmp_path) == [f":{whole.count(chr(10)) + 1}: {problem}"]


def test_what_stands_in_the_default_section_is_a_mistake_nowhere(tmp_path: Path) -> None:
    settings = settings_of("[DEFAULT]\nbase=/srv\n[worker]\njobs=%(base)s/jobs.yaml\n[zuul]\n", tmp_path)
    assert settings.worker is not None
    assert settings.worker.jobs == Path("/srv/jobs.yaml")


def test_each_program_requires_only_what_it_needs(tmp_path: Path) -> None:
    empty = settings_of("", tmp_path)
    require_for(empty, "gearman")
    with pytest.raises(SettingsErrors) as caught:
        require_for(empty, "scheduler")
    assert [problem.split("needs ")[1] for problem in caught.value.problems] == [
        "[gearman] server: name the host of the Gearman server",
        "[zuul] layout_config: give the path of layout.yaml",
    ]
    with pytest.raises(ConfigurationError, match=r"\[gearman\] server"):
        _ = empty.gearman.address
    with pytest.raises(ConfigurationError, match=r"\[zuul\] layout_config"):
        _ = empty.zuul.layout
    merger = settings_of("[gearman]\nserver=gm\n", tmp_path)
    require_for(merger, "merger")
    require_for(merger, "client")


def test_the_first_file_of_the_search_order_is_read(tmp_path: Path) -> None:
    first, second = tmp_path / "first.conf", tmp_path / "second.conf"
    with pytest.raises(ConfigurationError, match=r"there is no zuul\.conf: write .*first\.conf or .*second\.conf"):
        load(search=(first, second))
    second.write_text("[gearman]\nserver=second\n")
    assert load(search=(first, second)).gearman.address[0] == "second"
    first.write_text("[gearman]\nserver=first\n")
    assert load(search=(first, second)).gearman.address[0] == "first"


def test_a_file_that_can_not_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.conf: No such file"):
        load(tmp_path / "absent.conf")


def test_secrets_that_everybody_can_read_are_warned_of(tmp_path: Path) -> None:
    key = tmp_path / "id_rsa"
    key.write_text("secret")
    text = (
        f"[connection g]\ndriver=gerrit\nserver=r\nuser=z\nsshkey={key}\n"
        "[connection s]\ndriver=sql\ndburi=mysql://zuul:secret@db/zuul\n"
    )
    file = tmp_path / "zuul.conf"
    file.write_text(text)
    file.chmod(0o644)
    key.chmod(0o604)
    assert load(file).warnings == (
        f"{file}:1: everybody can read the database password here, chmod o-r this file",
        f"{key}:1: everybody can read this private key, chmod 600 it",
    )
    file.chmod(0o640)
    key.chmod(0o600)
    assert load(file).warnings == ()


def test_the_sample_is_valid_and_shows_every_option() -> None:
    settings = load(SAMPLE)
    require_for(settings, "scheduler")
    assert settings.unknown == ()

    text = re.sub(r"(?m)^#(?=\[|\w+=)", "", SAMPLE.read_text())
    shown, problems = ini.parse(text)
    assert problems == []
    for name, kind in SECTIONS.items():
        options = {one.name for one in msgspec.structs.fields(kind) if one.name != "name" or not one.required}
        assert set(shown[name].options) - {"driver"} == options


SECTIONS = {
    "gearman": Gearman,
    "gearman_server": GearmanServer,
    "webapp": Webapp,
    "zuul": Zuul,
    "merger": Merger,
    "database": Database,
    "worker": Worker,
    "connection gerrit": GerritConnection,
    "connection mail": SmtpConnection,
    "connection reports": SqlConnection,
}
