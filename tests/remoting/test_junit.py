"""JUnit files: what is counted, what is told, and what a hostile file cannot do."""

import os
import re
from pathlib import Path

import pytest

from zuul_launcher.remoting import junit
from zuul_launcher.remoting.junit import FailedCase, JUnitSummary, SuiteSummary, summarise_junit

TYPICAL = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="unit" tests="4" failures="1" errors="1" time="1.5">
    <properties><property name="a" value="b"/></properties>
    <testcase classname="tests.One" name="passes" time="0.25"/>
    <testcase classname="tests.One" name="fails" time="0.5">
      <failure message="1 != 2" type="AssertionError">Traceback &lt;here&gt;<![CDATA[ & there]]></failure>
      <system-out>much output</system-out>
    </testcase>
    <testcase classname="tests.One" name="breaks" time="1,000.5"><error type="OSError"/></testcase>
    <testcase classname="tests.One" name="waits"><skipped/></testcase>
  </testsuite>
</testsuites>
"""


def summary(folder: Path, *texts: str | bytes, patterns: tuple[str, ...] = ("**/TEST-*.xml",)) -> JUnitSummary:
    for number, text in enumerate(texts):
        data = text.encode() if isinstance(text, str) else text
        (folder / f"TEST-{number}.xml").write_bytes(data)
    return summarise_junit(folder, patterns)


def case(name: str, content: str = "") -> str:
    return f'<testsuite name="s"><testcase classname="c" name="{name}">{content}</testcase></testsuite>'


def test_cases_are_counted_and_those_that_did_not_pass_are_told_with_their_texts(tmp_path: Path) -> None:
    found = summary(tmp_path, TYPICAL)
    common = {"suite": "unit", "class_name": "tests.One", "file": "TEST-0.xml"}
    assert found == JUnitSummary(
        files=1,
        tests=4,
        failures=1,
        errors=1,
        skipped=1,
        seconds=1001.25,
        suites=(SuiteSummary("unit", "TEST-0.xml", tests=4, failures=1, errors=1, skipped=1, seconds=1001.25),),
        failed=(
            FailedCase(
                name="fails",
                kind="failure",
                message="1 != 2",
                text="Traceback <here> & there",
                seconds=0.5,
                **common,
            ),
            FailedCase(name="breaks", kind="error", message="OSError", text="", seconds=1000.5, **common),
        ),
    )
    assert not found.has_passed


def test_files_in_all_folders_are_summed_up_and_others_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "TEST-x.xml").write_text(case("deep"))
    (tmp_path / "a" / "other.xml").write_text("no XML")
    (tmp_path / "TEST-link.xml").symlink_to("a/b/TEST-x.xml")
    found = summary(tmp_path, case("top"), case("top", "<skipped/>"))
    assert (found.files, found.tests, found.skipped) == (3, 3, 1)
    assert found.has_passed


def test_no_file_is_told_as_such(tmp_path: Path) -> None:
    assert summary(tmp_path) == JUnitSummary()


def test_files_of_an_earlier_build_are_stale(tmp_path: Path) -> None:
    for name, modified in (("old", 1000), ("new", 3000)):
        (tmp_path / f"TEST-{name}.xml").write_text(case(name))
        os.utime(tmp_path / f"TEST-{name}.xml", (modified, modified))
    found = summarise_junit(tmp_path, ["*.xml"], newer_than=2000)
    assert (found.files, found.stale, found.tests) == (1, 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        f"<testsuite>{case('inner')}</testsuite>",
        f"<testsuites><testsuite>{case('a')}</testsuite></testsuites>",
        case("a").encode("utf-16"),
        b'<?xml version="1.0" encoding="iso-8859-1"?>' + case("ä").encode("iso-8859-1"),
        "\ufeff" + case("with a mark"),
    ],
)
def test_nested_suites_and_other_encodings_are_read(tmp_path: Path, text: str | bytes) -> None:
    found = summary(tmp_path, text)
    assert (found.tests, found.problems) == (1, ())


BOMB = '<!DOCTYPE x [<!ENTITY a "ha">{}]>' + case("x", "<failure>&i;</failure>")
NESTED = "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True))

BAD = {
    "a bomb": (BOMB.format(NESTED), r"declares an entity, 'a', in line 1: refused"),
    "a file as entity": (
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + case("x", "<failure>&a;</failure>"),
        "declares an entity",
    ),
    "a parameter entity": ('<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1/x">%a;]>' + case("x"), "an entity"),
    "cut off": (TYPICAL[:300], "not well-formed XML: .*line"),
    "empty": ("", "not well-formed XML: no element found"),
    "no JUnit": ("<html/>", "no JUnit file: it begins with <html>"),
    "too deep": ("<testsuite>" * 200, "more than 100 elements inside each other"),
    "an encoding that nobody has": ('<?xml version="1.0" encoding="x-none"?><testsuite/>', "encoding"),
    "noise": (b"\x00\xff" * 1000, "not well-formed"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_cannot_be_read_is_a_problem_and_ends_nothing(tmp_path: Path, what: str) -> None:
    text, reason = BAD[what]
    found = summary(tmp_path, text, case("fine"))
    assert found.tests == 1
    ((file, told),) = found.problems
    assert file == "TEST-0.xml"
    assert re.search(reason, told)
    assert not found.has_passed


def test_a_document_type_without_entities_is_fine(tmp_path: Path) -> None:
    found = summary(tmp_path, '<!DOCTYPE testsuite SYSTEM "http://127.0.0.1:1/junit.dtd">' + case("x"))
    assert (found.tests, found.problems) == (1, ())


def test_a_suite_that_speaks_of_failures_without_cases_is_a_problem(tmp_path: Path) -> None:
    found = summary(tmp_path, '<testsuite name="s" tests="3" errors="2"/>')
    assert found.problems == (("TEST-0.xml", "a suite says that 2 of its tests failed, but the file has no such case"),)


def test_texts_names_and_numbers_of_cases_are_limited_but_all_are_counted(tmp_path: Path) -> None:
    long = case("n" * 5000, f'<failure message="{"m" * 100_000}">{"t" * 100_000}</failure>')
    many = "<testsuite>" + '<testcase name="n"><failure/></testcase>' * 1500 + "</testsuite>"
    found = summary(tmp_path, long, many)
    assert (len(found.failed[0].name), len(found.failed[0].message), len(found.failed[0].text)) == (1000, 65536, 65536)
    assert (found.failures, len(found.failed), found.is_cut) == (1501, junit.CASES, True)


def test_a_summary_is_small_whatever_the_files_say(tmp_path: Path) -> None:
    big = "<testsuite>" + f'<testcase name="n"><error>{"t" * 60_000}</error></testcase>' * 200 + "</testsuite>"
    found = summary(tmp_path, big)
    assert found.errors == 200
    assert sum(len(each.text) for each in found.failed) <= junit.TEXT_CHARACTERS
    assert found.is_cut


def test_a_folder_or_pipe_with_the_name_of_a_result_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "TEST-folder.xml").mkdir()
    os.mkfifo(tmp_path / "TEST-pipe.xml")
    found = summary(tmp_path, case("x"))
    assert (found.files, found.tests, found.problems) == (1, 1, ())


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        summarise_junit(tmp_path / "none", ["**"])
