"""What is done with builds when their steps are over: files kept, tests counted, logs copied."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from support.build_world import QUICK, World, job
from support.sftp_server import sftp_site

from zuul_launcher.worker.builds.testreports import joined
from zuul_launcher.worker.definitions.job import Artifacts, Copy, CopyFiles, Credential, JUnit, Script, Shell, Site

TREE = """#!/bin/sh
mkdir -p log/deep/er
echo top > log/a.txt; echo deep > log/deep/er/b.txt; echo no > log/c.bin; touch d.txt
"""


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# Artifacts


def test_files_are_kept_as_they_lay_in_the_workspace(world: World) -> None:
    """D88."""
    ran = world.run(job(TREE, publish=(Artifacts(paths=("log/**", "d.txt"), excludes=("**/*.bin",)),)))
    assert ran.result == "SUCCESS"
    assert names(ran.folder.artifacts) == ["d.txt", "log/a.txt", "log/deep/er/b.txt"]
    assert (ran.folder.artifacts / "log/deep/er/b.txt").read_text() == "deep\n"


def test_links_are_kept_only_if_they_stay_inside(world: World, tmp_path: Path) -> None:
    """D88."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    ran = world.run(
        job(
            TREE,
            f"ln -s a.txt log/in; ln -s {outside}/secret log/out; ln -s {outside} log/folder",
            publish=(Artifacts(paths=("log/**",)),),
        )
    )
    assert names(ran.folder.artifacts) == ["log/a.txt", "log/c.bin", "log/deep/er/b.txt", "log/in"]
    assert "left out" in ran.console
    assert "log/out" in ran.console


def test_files_are_not_kept_where_a_link_of_files_before_leads(world: World) -> None:
    """It leads elsewhere from another place, so such links could be made to lead out."""
    change = Script(steps=(Shell(text="rm one/link; mkdir one/link; echo new > one/link/file"),))
    ran = world.run(
        job(
            "mkdir -p one real; touch real/file; ln -s ../real one/link",
            publish=(Artifacts(paths=("one/**", "real/**")), change, Artifacts(paths=("one/**",))),
        )
    )
    assert ran.result == "SUCCESS"
    assert (ran.folder.artifacts / "one/link/file").read_text() == "new\n"
    assert (ran.folder.artifacts / "real/file").read_text() == ""


def test_no_match_fails_unless_that_is_allowed(world: World) -> None:
    """D88, D43."""
    ran = world.run(job("mkdir empty", publish=(Artifacts(paths=("empty/**", "*.x")),)))
    assert ran.result == "POST_FAILURE"
    assert "no file of the workspace is of empty/**, *.x" in ran.console
    assert world.run(job("exit 0", publish=(Artifacts(paths=("*.x",), allow_empty=True),))).result == "SUCCESS"


def test_no_more_is_kept_than_a_build_may_have(worlds: Any) -> None:
    world = worlds(limits=structs.replace(QUICK, artifact_bytes=1_000_000))
    script = "head -c 700000 /dev/zero > a; head -c 700000 /dev/zero > b"
    ran = world.run(job(script, publish=(Artifacts(paths=("a",)), Artifacts(paths=("b",)))))
    assert ran.result == "POST_FAILURE"
    assert "more than the 1000000 bytes" in ran.console
    assert names(ran.folder.artifacts) == ["a"]


def test_what_is_published_depends_on_the_result(world: World) -> None:
    publish = (Artifacts(paths=("a",), when=("success",)), Artifacts(paths=("b",), when=("FAILURE",)))
    assert names(world.run(job("touch a b; false", publish=publish)).folder.artifacts) == ["b"]


def test_one_that_fails_keeps_the_next_from_nothing(world: World) -> None:
    """D43."""
    ran = world.run(job("touch a", publish=(Artifacts(paths=("x",)), Artifacts(paths=("a",)))))
    assert ran.result == "POST_FAILURE"
    assert names(ran.folder.artifacts) == ["a"]


def test_the_failure_of_a_build_is_not_hidden_by_one_after_it(world: World) -> None:
    assert world.run(job("false", publish=(Artifacts(paths=("x",)),))).result == "FAILURE"


# Test reports


def report(**cases: str) -> str:
    bodies = "".join(f'<testcase classname="c" name="{name}">{body}</testcase>' for name, body in cases.items())
    return f'<testsuite name="s" tests="{len(cases)}">{bodies}</testsuite>'


def writing(**files: str) -> str:
    return "#!/bin/sh\n" + "\n".join(f"cat > {name}.xml <<'END'\n{text}\nEND" for name, text in files.items())


def test_tests_that_pass_are_counted(world: World) -> None:
    ran = world.run(job(writing(a=report(x="", y="<skipped/>")), publish=(JUnit(paths=("*.xml",)),)))
    assert ran.result == "SUCCESS"
    assert ran.record.tests is not None
    assert {name: ran.record.tests[name] for name in ("tests", "failures", "skipped")} == {
        "tests": 2,
        "failures": 0,
        "skipped": 1,
    }


@pytest.mark.parametrize(("mark", "result"), [("unstable", "UNSTABLE"), ("failure", "FAILURE")])
def test_a_test_that_fails_marks_the_build(world: World, mark: Any, result: str) -> None:
    """D93."""
    text = report(x='<failure message="no">trace</failure>')
    ran = world.run(job(writing(a=text), publish=(JUnit(paths=("*.xml",), on_failure=mark),)))
    assert ran.result == result
    assert ran.record.tests is not None
    assert ran.record.tests["failed"][0]["name"] == "x"
    json.dumps(ran.record.tests)


def test_a_bomb_of_entities_is_an_entry_among_the_problems(world: World) -> None:
    """D93."""
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite name="&b;"/>'
    ran = world.run(job(writing(a=bomb, b="no xml"), publish=(JUnit(paths=("*.xml",)),)))
    assert ran.result == "UNSTABLE"
    assert ran.record.tests is not None
    assert [path for path, _ in ran.record.tests["problems"]] == ["a.xml", "b.xml"]


def test_reports_of_an_earlier_build_are_not_read(world: World) -> None:
    bad = report(x="<failure/>")
    ran = world.run(job(writing(old=bad) + "\ntouch -d yesterday old.xml", publish=(JUnit(paths=("*.xml",)),)))
    assert ran.result == "POST_FAILURE"
    assert "1 are of an earlier build" in ran.console


def test_a_report_that_is_written_at_once_is_of_this_build(world: World) -> None:
    for _ in range(5):
        ran = world.run(job(writing(a=report(x="")), publish=(JUnit(paths=("*.xml",)),)))
        assert ran.result == "SUCCESS", ran.console


def test_no_report_fails_unless_that_is_allowed(world: World) -> None:
    assert world.run(job("exit 0", publish=(JUnit(paths=("*.xml",)),))).result == "POST_FAILURE"
    assert world.run(job("exit 0", publish=(JUnit(paths=("*.xml",), allow_empty=True),))).result == "SUCCESS"


def test_several_summaries_are_one(world: World) -> None:
    text = writing(a=report(x=""), b=report(y="<failure/>", z=""))
    ran = world.run(job(text, publish=(JUnit(paths=("a.xml",)), JUnit(paths=("b.xml",)))))
    tests = ran.record.tests
    assert tests is not None
    assert (tests["tests"], tests["failures"], len(tests["suites"]), len(tests["failed"])) == (3, 1, 2, 1)
    assert joined(None, tests) is tests


def test_no_secret_is_in_the_summary(world: World) -> None:
    """D91."""
    body = f'<failure message="s3cret-value">{base64.b64encode(b"s3cret-value").decode()}</failure>'
    wanted = job(
        writing(a=report(x=body)),
        publish=(JUnit(paths=("*.xml",)),),
        credentials=(Credential(variable="S", secret="s"),),
    )
    world.define(wanted, secrets={"s": {"text": "s3cret-value"}})
    world.assign().end()
    stored = repr(world.history.records["unit", 1])
    assert "s3cret" not in stored
    assert base64.b64encode(b"s3cret-value").decode() not in stored
    assert "****" in stored


# Log sites


@pytest.fixture
def folder(tmp_path: Path) -> Site:
    return Site(name="logs", root=str(tmp_path / "logs"))


@pytest.fixture(params=["folder", pytest.param("server", marks=pytest.mark.sshd)])
def site(request: pytest.FixtureRequest, folder: Site, tmp_path: Path) -> Iterator[Site]:
    if request.param == "folder":
        yield folder
    else:
        with sftp_site(tmp_path / "ssh", tmp_path / "logs") as found:
            yield found


def copied(world: World, site: Site, script: str, *files: CopyFiles, sent: Any = None, **others: Any) -> Any:
    wanted = job(script, **{"publish": (Copy(site="logs", files=files),), **others})
    world.define(wanted, sites={"logs": site})
    return world.assign(payload=sent).end()["result"]


def test_files_are_copied_to_a_site(world: World, site: Site, tmp_path: Path) -> None:
    """D96."""
    files = (
        CopyFiles(source="log/**", excludes=("**/*.bin",), target="${LOG_PATH}/kept", keep_hierarchy=True),
        CopyFiles(source="log/**/*.txt", target="flat"),
        CopyFiles(target="${LOG_PATH}", copy_console=True),
    )
    assert copied(world, site, TREE, *files, sent={"LOG_PATH": "12/3"}) == "SUCCESS", world.console()
    assert names(tmp_path / "logs") == [
        "12/3/console.txt",
        "12/3/kept/log/a.txt",
        "12/3/kept/log/deep/er/b.txt",
        "flat/a.txt",
        "flat/b.txt",
    ]
    assert (tmp_path / "logs" / "flat" / "b.txt").read_text() == "deep\n"


def test_the_console_is_copied_last_and_complete(world: World, folder: Site, tmp_path: Path) -> None:
    """D96."""
    after = Script(steps=(Shell(text="#!/bin/sh\necho after all; ls " + str(tmp_path / "logs")),))
    publish = (Copy(site="logs", files=(CopyFiles(copy_console=True, copy_after_failure=True),)), after)
    assert copied(world, folder, "echo first", publish=publish) == "POST_FAILURE"  # there is nothing to list yet
    found = (tmp_path / "logs" / "console.txt").read_text()
    assert found == world.console()
    assert "after all\n" in found
    assert found.splitlines()[-1].startswith("Finished: ")


def test_copies_have_the_time_of_the_job_and_no_more(world: World, folder: Site, tmp_path: Path) -> None:
    part = CopyFiles(copy_console=True, copy_after_failure=True)
    assert copied(world, folder, "true", part, publish_timeout=0.0) == "POST_FAILURE"
    assert "[copy: the copies were not done within 0 s]" in world.console()
    assert names(tmp_path / "logs") == []


def test_after_a_failure_only_that_is_copied_that_says_so(world: World, folder: Site, tmp_path: Path) -> None:
    files = (
        CopyFiles(source="a", target="no"),
        CopyFiles(source="a", target="yes", copy_after_failure=True),
        CopyFiles(target="no", copy_console=True),
        CopyFiles(target="yes", copy_console=True, copy_after_failure=True),
    )
    assert copied(world, folder, "touch a; false", *files) == "FAILURE"
    assert names(tmp_path / "logs") == ["yes/a", "yes/console.txt"]


def test_no_target_leads_out_of_the_site(world: World, folder: Site, tmp_path: Path) -> None:
    """D92."""
    for target in ("${P}", "a/${P}/b"):
        for part in (CopyFiles(source="a", target=target), CopyFiles(target=target, copy_console=True)):
            assert copied(world, folder, "touch a", part, sent={"P": "../../x"}) == "POST_FAILURE"
    assert not (tmp_path / "x").exists()
    assert names(tmp_path / "logs") == []


def test_an_absolute_target_is_below_the_root(world: World, folder: Site, tmp_path: Path) -> None:
    assert copied(world, folder, "touch a", CopyFiles(source="a", target="/etc")) == "SUCCESS"
    assert names(tmp_path / "logs") == ["etc/a"]


def test_a_site_that_is_not_there_is_a_failure_after_the_build(world: World, folder: Site) -> None:
    """D43."""
    part = CopyFiles(copy_console=True)
    assert copied(world, structs.replace(folder, name="other", host="127.0.0.1", port=1, host_key=None), "true", part)
    assert world.console().count("[copy: ") == 1
    world.define(job("true", publish=(Copy(site="none", files=(part,)),)), sites={})
    assert world.assign().end()["result"] == "POST_FAILURE"


def test_the_console_of_a_build_whose_node_is_lost_is_copied(world: World, folder: Site, tmp_path: Path) -> None:
    world.node._connect = lambda: (_ for _ in ()).throw(OSError("no node"))
    part = CopyFiles(copy_console=True, copy_after_failure=True)
    assert copied(world, folder, "true", part) is None
    assert "no node" in (tmp_path / "logs" / "console.txt").read_text()


def test_links_out_of_what_is_copied_are_not_followed(world: World, folder: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    script = f"echo in > a; ln -s a b; ln -s {tmp_path}/secret c; ln -s /etc/passwd d"
    assert copied(world, folder, script, CopyFiles(source="*", target="t")) == "SUCCESS"
    assert names(tmp_path / "logs") == ["t/a", "t/b"]
    assert (tmp_path / "logs" / "t" / "b").read_text() == "in\n"
    assert not (tmp_path / "logs" / "t" / "b").is_symlink()
