"""log.py: what reaches stderr, and what a file of the site may change."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.log import TALKATIVE, LineFormatter, set_up, visible

SAMPLE = Path(__file__).parent.parent / "etc" / "logging.conf-sample"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging belongs to the whole process: put back what a test changes."""
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in (*TALKATIVE, "zuul_launcher"))]
    levels = [logger.level for logger in loggers]
    handlers = root.handlers[:]
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    for handler in [handler for handler in handlers if handler not in root.handlers]:
        root.addHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_a_record_is_one_line_that_says_when_how_bad_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    set_up()
    logging.getLogger("zuul_launcher.loop").info("item %s left", "i1")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" INFO zuul_launcher.loop: item i1 left")


def test_a_message_from_outside_cannot_look_like_another_record(capsys: pytest.CaptureFixture[str]) -> None:
    set_up()
    logging.getLogger("zuul_launcher").warning("branch %s", "x\n2026-01-01 INFO root: all is well\x1b[2J\u2028\u202e")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"branch x\n2026-01-01 INFO root: all is well\x1b[2J\u2028\u202e")


def test_a_traceback_is_told_line_by_line_with_a_mark_in_front(capsys: pytest.CaptureFixture[str]) -> None:
    set_up()
    try:
        raise ValueError("bad\nINFO root: forged\x07")
    except ValueError:
        logging.getLogger("zuul_launcher").exception("it failed")
    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR zuul_launcher: it failed")
    assert all(line.startswith("  | ") for line in others)
    assert others[0] == "  | Traceback (most recent call last):"
    assert others[-2:] == ["  | ValueError: bad", r"  | INFO root: forged\x07"]


def test_a_quiet_process_tells_what_goes_wrong_only(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(quiet=True)
    logging.getLogger("zuul_launcher").info("connected")
    logging.getLogger("zuul_launcher").warning("lost")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" WARNING zuul_launcher: lost")


def test_letters_of_all_languages_stay_as_they_are() -> None:
    assert visible("für 世界 \U0001f600\t") == "für 世界 \U0001f600\\t"


@pytest.mark.parametrize(("verbose", "heard"), [(False, []), (True, ["ours", "theirs"])])
def test_details_are_told_when_asked_for(verbose: bool, heard: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    set_up(verbose=verbose)
    logging.getLogger("zuul_launcher").debug("ours")
    logging.getLogger("paramiko.transport").info("theirs")
    assert [line.rsplit(" ", 1)[1] for line in capsys.readouterr().err.splitlines()] == heard


def test_a_second_set_up_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    set_up()
    set_up()
    logging.getLogger("zuul_launcher").info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_file_of_the_site_decides_and_loggers_made_before_go_on(tmp_path: Path) -> None:
    early = logging.getLogger("zuul_launcher.early")
    config = tmp_path / "logging.conf"
    config.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=file\n[formatters]\nkeys=line\n"
        "[logger_root]\nlevel=WARNING\nhandlers=file\n"
        f"[handler_file]\nclass=FileHandler\nformatter=line\nargs=({str(tmp_path / 'log')!r},)\n"
        "[formatter_line]\nclass=zuul_launcher.log.LineFormatter\nformat=%(levelname)s %(message)s\n"
    )
    set_up(config)
    early.warning("told\nhere")
    early.info("not told")
    assert (tmp_path / "log").read_text() == "WARNING told\\nhere\n"


def test_the_sample_file_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(SAMPLE)
    logging.getLogger("zuul_launcher").info("seen")
    assert capsys.readouterr().err.splitlines()[-1].endswith("INFO zuul_launcher: seen")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.conf: .*No such file"):
        set_up(tmp_path / "none.conf")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version: 1\n",
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n",
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\nlevel=INFO\nhandlers=h\n"
        "[handler_h]\nclass=NoSuchClass\nargs=(\n",
    ],
)
def test_a_file_of_another_form_is_refused_by_name(text: str, tmp_path: Path) -> None:
    config = tmp_path / "logging.conf"
    config.write_text(text)
    with pytest.raises(ConfigurationError, match=r"logging\.conf"):
        set_up(config)


def test_the_formatter_keeps_the_format_of_a_site() -> None:
    record = logging.LogRecord("n", logging.INFO, "file", 1, "text", None, None)
    assert LineFormatter("%(message)s!").format(record) == "text!"
