"""The addresses of a manager's pages, asked over HTTP."""

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from support.build_records import EPOCH, ran
from support.build_site import Site
from support.build_view import Desk

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.worker.builds.limits import Identity
from zuul_launcher.worker.builds.news import started
from zuul_launcher.worker.pages.view import BuildView, NodeView
from zuul_launcher.worker.parts import BuildRecord

NAMES = ["a/b", "a/..b", "a b", "grün ✓", "50%", "a%2Fb", "a+b", "..x", "#1?x=y", "<b>", "a\\b", "'\"", "..."]


def test_progressive_text_gives_what_is_new_and_says_whether_more_may_come(site: Site) -> None:
    """D89. Bytes from `start` on; `X-More-Data` only while the build runs."""
    site.desk.begin()
    path = "/job/unit/1/logText/progressiveText"
    answer = site.ask(path)
    assert (answer.status, answer.body, answer.headers["X-Text-Size"]) == (200, b"", "0")
    assert answer.headers["X-More-Data"] == "true"

    site.desk.write("grün\n")
    answer = site.ask(f"{path}?start=0")
    assert (answer.text, answer.headers["X-Text-Size"], answer.headers["X-More-Data"]) == ("grün\n", "6", "true")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    site.desk.write("more")
    answer = site.ask(f"{path}?start=6")
    assert (answer.text, answer.headers["X-Text-Size"], answer.headers["X-More-Data"]) == ("more", "10", "true")
    assert site.ask(f"{path}?start=10").body == b""

    site.desk.write("\nend\n")
    site.desk.finish()
    answer = site.ask(f"{path}?start=10")
    assert (answer.text, answer.headers["X-Text-Size"]) == ("\nend\n", "15")
    assert "X-More-Data" not in answer.headers
    assert site.ask(f"{path}?start=99").text == "grün\nmore\nend\n"  # as of a console that began anew
    for wrong in ("-1", "x", "1e3", "9" * 30, "%D9%A3"):
        assert site.ask(f"{path}?start={wrong}").status == 400


def test_what_a_step_wrote_is_read_at_once(site: Site) -> None:
    """D90. Nothing is kept back or kept from before."""
    site.desk.begin()
    for number in range(20):
        site.desk.write(f"{number}\n")
        assert site.ask("/job/unit/1/consoleText").text.endswith(f"\n{number}\n" if number else "0\n")
        assert site.ask("/job/unit/1/console/part").json["lines"][-1] == str(number)


def test_a_build_is_told_as_json(site: Site) -> None:
    site.desk.begin(parameters={"B": "2", "A": [1, None]}, node="trusty-1")
    site.desk.history.describe("unit", 1, "<b onclick=x>y</b><script>z</script>")
    site.desk.artifact("log/a.log", b"123")
    site.desk.artifact("z", b"")
    running = site.ask("/job/unit/1/api/json").json
    names = "name number result building url description node_name duration estimated_ms params artifacts tests"
    assert set(names.split()) <= set(running)
    assert (running["building"], running["result"], running["duration"]) == (True, None, 100_000)
    assert running["url"] == "https://ci.example.net/builds/job/unit/1/"
    assert running["params"] == {"B": "2", "A": [1, None]}
    assert running["artifacts"] == [{"path": "log/a.log", "size": 3}, {"path": "z", "size": 0}]
    assert running["description"] == "<b>y</b>"  # D57

    site.desk.finish(tests={"tests": 3, "failures": 1, "failed": [{"name": "x"}], "is_cut": False})
    ended = site.ask("/job/unit/1/api/json").json
    assert (ended["building"], ended["result"], ended["duration"]) == (False, "SUCCESS", 10_000)
    assert ended["tests"] == {"tests": 3, "failures": 1, "is_cut": False}
    assert site.ask("/job/unit/1/testReport/api/json").json["failed"] == [{"name": "x"}]
    site.desk.begin()
    assert site.ask("/job/unit/2/api/json").json["estimated_ms"] == 10_000
    assert site.ask("/job/unit/2/testReport/api/json").status == 404


@pytest.mark.parametrize("root_url", [None, ""])
def test_without_a_root_url_there_is_no_address(site: Site, root_url: str | None) -> None:
    site.desk.root_url = root_url
    site.desk.begin()
    assert site.ask("/job/unit/1/api/json").json["url"] is None


@pytest.mark.parametrize("name", NAMES)
def test_a_job_of_any_name_has_its_pages(site: Site, name: str) -> None:
    site.desk.begin(name)
    site.desk.write("hello\n", name)
    place = f"/job/{quote(name, safe='')}"
    assert site.ask(f"{place}/1/consoleText").text == "hello\n"
    assert site.ask(f"{place}/1/api/json").json["name"] == name
    assert site.ask(f"{place}/1/").status == 200
    assert site.ask(f"{place}/").status == 200
    moved = site.ask(f"{place}/1")
    assert (moved.status, moved.headers["Location"]) == (301, "1/")
    listed = site.ask("/api/builds").json
    assert site.ask(listed[0]["url"].removeprefix("https://ci.example.net/builds")).status == 200


@pytest.mark.parametrize("name", [*NAMES, "..", "~+=@,:;&$!*()"])
def test_the_address_that_is_told_of_a_build_is_that_of_its_page(site: Site, name: str) -> None:
    site.desk.begin(name)
    told = json.loads(started(Identity(name="m", root_url=site.desk.root_url), name, 1, "w", "n", ()))["url"]
    path = told.removeprefix("https://ci.example.net/builds")
    page = site.ask(path)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert site.ask(f"{path}api/json").json["name"] == name
    assert site.ask("/api/builds").json[0]["url"] == told
    assert f'href="{path[1:]}"' in site.ask("/").text
    assert site.ask(path.removesuffix("1/")).status == 200  # JOB_URL


def secret(desk: Desk) -> Path:
    """A file beside the folders of builds, that no address leads to."""
    file = desk.folder.parent / "secret"
    file.write_text("of nobody's business")
    return file


HOSTILE = [
    "/job/unit/1/artifact/../console.log",
    "/job/unit/1/artifact/..%2Fconsole.log",
    "/job/unit/1/artifact/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret",
    "/job/unit/1/artifact/../../../../secret",
    "/job/unit/1/artifact/..%2f..%2f..%2f..%2fsecret",
    "/job/unit/1/artifact//etc/passwd",
    "/job/unit/1/artifact/%2Fetc%2Fpasswd",
    "/job/unit/1/artifact/log/../../console.log",
    "/job/unit/1/artifact/./a.log",
    "/job/unit/1/artifact/a.log%00.html",
    "/job/unit/1/artifact/a.log/",
    "/job/unit/1/artifact/a.log/x",
    "/job/unit/1/artifact/none",
    "/job/unit/1/artifact/" + "x" * 300,
    "/job/unit/1/artifact/" + "x/" * 2000,
    "/job/unit/1/artifact/%ff",
    "/job/../unit/1/",
    "/job/%2e%2e/1/consoleText",
    "/job/..%2F..%2Fsecret/1/consoleText",
    "/job/unit%2F1/1/consoleText",
    "/job/unit/1/../1/consoleText",
    "/job/unit/01/consoleText",
    "/job/unit/0/",
    "/job/unit/-1/",
    "/job/unit/2/",
    "/job/unit/99999999999/",
    "/job/unit/9999999999/",
    "/job/unit/%D9%A1/",
    "/job/unit/1/nothing",
    "/job/unit/1/console/",
    "/job/none/",
    "/job/none",
    "/job/%ff/1/",
    "/job//1/",
    "/static/../app.py",
    "/static/%2e%2e%2fapp.py",
    "/static/",
    "//etc/passwd",
    "/..",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_an_address_that_leads_out_or_nowhere_is_not_found(site: Site, path: str) -> None:
    """D92."""
    secret(site.desk)
    site.desk.begin()
    site.desk.write("hello\n")
    site.desk.artifact("a.log", b"a")
    site.desk.artifact("log/b.log", b"b")
    answer = site.ask(path)
    if path in ("/job/none",):
        assert answer.status == 301  # with a slash it is looked up
        return
    assert (answer.status, answer.body) == (404, b"Not found\n")


def test_links_are_followed_inside_the_folder_only(site: Site) -> None:
    """D92. What leads out is not served, not listed, and not measured."""
    site.desk.begin()
    site.desk.artifact("log/real", b"real")
    top = site.desk.place().artifacts
    (top / "inside").symlink_to("log/real")
    (top / "folder").symlink_to("log")
    (top / "out").symlink_to(secret(site.desk))
    (top / "up").symlink_to("../console.log")
    (top / "away").symlink_to("/")
    (top / "nowhere").symlink_to("none")
    (top / "round").symlink_to("round")
    os.mkfifo(top / "pipe")
    assert site.ask("/job/unit/1/artifact/inside").body == b"real"
    assert site.ask("/job/unit/1/artifact/folder/real").body == b"real"
    for name in ("out", "up", "away", "away/etc/passwd", "nowhere", "round", "pipe"):
        assert site.ask(f"/job/unit/1/artifact/{name}").status == 404
    listing = site.ask("/job/unit/1/artifact/").text
    assert ("inside" in listing, "folder/" in listing) == (True, True)
    assert [name for name in ("out", "away", "nowhere", "round") if f'href="{name}' in listing] == []
    assert site.ask("/job/unit/1/api/json").json["artifacts"] == [{"path": "log/real", "size": 4}]


def test_a_console_that_became_a_link_is_not_followed(site: Site) -> None:
    """D92."""
    site.desk.begin()
    site.desk.place().console.symlink_to(secret(site.desk))
    for path in ("consoleText", "logText/progressiveText"):
        assert site.ask(f"/job/unit/1/{path}").body == b""
    assert site.ask("/job/unit/1/console/part").json["lines"] == []
    assert site.ask("/job/unit/1/console/search?q=business").json["matches"] == []


def test_folders_of_builds_that_became_links_are_not_followed(site: Site) -> None:
    """D92."""
    site.desk.begin()
    place = site.desk.place().artifacts
    place.rmdir()
    place.symlink_to(secret(site.desk).parent)
    assert site.ask("/job/unit/1/artifact/secret").status == 404
    assert site.ask("/job/unit/1/artifact/").status == 404
    assert site.ask("/job/unit/1/api/json").json["artifacts"] == []


def test_a_name_that_no_job_can_have_is_not_taken_for_another(site: Site) -> None:
    """D92. The history shows NUL as U+FFFD."""
    site.desk.begin("a\ufffdb")
    assert site.ask("/job/a%00b/1/").status == 404


def test_artifacts_are_served_without_trust(site: Site) -> None:
    site.desk.begin()
    site.desk.artifact("a/report.html", b"<script>alert(1)</script>")
    answer = site.ask("/job/unit/1/artifact/a/report.html")
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    moved = site.ask("/job/unit/1/artifact/a")
    assert (moved.status, moved.headers["Location"]) == (301, "a/")
    assert site.ask("/job/unit/1/artifact").headers["Location"] == "artifact/"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.log", "text/plain; charset=utf-8"),
        ("X.TXT", "text/plain; charset=utf-8"),
        ("x.json", "application/json"),
        ("x.log.gz", "application/gzip"),
        ("x.tar.xz", "application/octet-stream"),
        ("x.png", "image/png"),
        ("core", "application/octet-stream"),
        ("grün%ff<b>", "application/octet-stream"),
    ],
)
def test_the_name_says_what_an_artifact_is(site: Site, name: str, kind: str) -> None:
    site.desk.begin()
    site.desk.artifact(name, b"x")
    assert site.ask(f"/job/unit/1/artifact/{quote(name)}").headers["Content-Type"] == kind


def test_a_file_whose_name_is_no_text_is_listed_and_served(site: Site) -> None:
    site.desk.begin()
    site.desk.artifact(os.fsdecode(b"odd-\xff"), b"found")
    assert 'href="odd-%FF"' in site.ask("/job/unit/1/artifact/").text
    assert site.ask("/job/unit/1/artifact/odd-%FF").body == b"found"
    assert len(site.ask("/job/unit/1/api/json").json["artifacts"]) == 1


@pytest.mark.parametrize(
    ("asked", "status", "body", "span"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"There is no such range\n", "bytes */10"),
        ("bytes=-0", 416, b"There is no such range\n", "bytes */10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=5-4", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_a_part_of_a_file_can_be_asked_for(site: Site, asked: str, status: int, body: bytes, span: str | None) -> None:
    site.desk.begin()
    site.desk.artifact("x", b"0123456789")
    answer = site.ask("/job/unit/1/artifact/x", headers={"Range": asked})
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (status, body, span)


def test_a_file_that_changed_is_sent_whole_and_one_that_did_not_is_not_sent(site: Site) -> None:
    site.desk.begin()
    site.desk.artifact("x", b"0123456789")
    tag = site.ask("/job/unit/1/artifact/x").headers["ETag"]
    again = site.ask("/job/unit/1/artifact/x", headers={"If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    part = {"Range": "bytes=0-1", "If-Range": tag}
    assert site.ask("/job/unit/1/artifact/x", headers=part).body == b"01"
    site.desk.artifact("x", b"abcdefghijk")
    assert site.ask("/job/unit/1/artifact/x", headers=part).body == b"abcdefghijk"
    assert site.ask("/job/unit/1/artifact/x", headers={"If-None-Match": tag}).status == 200


def test_a_large_file_is_sent_whole(site: Site) -> None:
    site.desk.begin()
    content = os.urandom(3 * 2**20 + 17)
    site.desk.artifact("x", content)
    assert site.ask("/job/unit/1/artifact/x").body == content


def test_head_tells_the_headers_only(site: Site) -> None:
    site.desk.begin()
    site.desk.write("hello\n")
    site.desk.artifact("x", b"0123456789")
    for path, length in (("artifact/x", "10"), ("consoleText", "6")):
        answer = site.ask(f"/job/unit/1/{path}", "HEAD")
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", length)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(site: Site, method: str) -> None:
    site.desk.begin()
    answer = site.ask("/job/unit/1/", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_parts_of_the_console_are_numbered_and_timed(site: Site) -> None:
    site.desk.begin()
    site.desk.write("one\ntwo\n", at=EPOCH + 1)
    site.desk.write("thr", at=EPOCH + 2)
    part = site.ask("/job/unit/1/console/part").json
    one, three = (EPOCH + 1) * 1000, (EPOCH + 2) * 1000
    assert part == {
        **{"start": 0, "end": 11, "line": 1, "size": 11, "is_open": True, "running": True},
        **{"lines": ["one", "two", "thr"], "times": [one, one, three]},
    }
    assert site.ask("/job/unit/1/console/part?from=4").json["lines"] == ["two", "thr"]
    assert site.ask("/job/unit/1/console/part?before=8").json["lines"] == ["one", "two"]
    assert site.ask("/job/unit/1/console/part?line=2").json["line"] == 1
    assert site.ask("/job/unit/1/console/search?q=TWO").json == {"matches": [[2, 4]], "more": False}
    for wrong in ("part?from=x", "part?before=-1", "part?line=", "search", "search?q=", "search?q=" + "x" * 201):
        assert site.ask(f"/job/unit/1/console/{wrong}").status == 400


def test_a_build_without_a_folder_has_pages_all_the_same(site: Site) -> None:
    ran(site.desk.history)
    for path in ("", "console", "consoleText", "console/part", "console/search?q=x", "api/json"):
        assert site.ask(f"/job/unit/1/{path}").status == 200
    assert site.ask("/job/unit/1/artifact/").status == 404


def test_nodes_builds_and_functions_are_told_as_json(site: Site) -> None:
    site.desk.now_nodes = [
        NodeView(name="b", labels=("x", "b"), executors=2, busy=1),
        NodeView(name="a", state="offline", reason="asked by Gearman"),
    ]
    site.desk.begin("later", node="b", step="step 1 of 2")
    site.desk.now_running.append(BuildView(job="gone", number=7, node="b", state="queued"))
    ran(site.desk.history, "older", started_at=EPOCH - 5)
    site.desk.offered = {"b_exec-0": ["build:later:x", "build:later"]}
    nodes = site.ask("/api/nodes").json
    assert [(node["name"], node["state"], node["labels"]) for node in nodes] == [
        ("b", "online", ["b", "x"]),
        ("a", "offline", []),
    ]
    assert nodes[0]["builds"] == [{"name": "later", "number": 1}, {"name": "gone", "number": 7}]
    builds = site.ask("/api/builds").json
    assert [(build["name"], build["building"]) for build in builds] == [("later", True), ("older", False)]
    assert (builds[0]["state"], builds[0]["step"]) == ("running", "step 1 of 2")
    assert [build["name"] for build in site.ask("/api/builds?job=older").json] == ["older"]
    assert [build["name"] for build in site.ask("/api/builds?limit=1").json] == ["later"]
    assert [build["name"] for build in site.ask(f"/api/builds?before={EPOCH}").json] == ["older"]
    assert site.ask("/api/builds?limit=x").status == 400
    assert site.ask("/api/functions").json == {"b_exec-0": ["build:later", "build:later:x"]}


def test_health_says_by_its_status_whether_all_is_well(site: Site) -> None:
    assert (site.ask("/health").status, site.ask("/health").json) == (200, {"status": "ok"})
    site.desk.state = {"status": "no Gearman server", "restarts": 3}
    assert (site.ask("/health").status, site.ask("/health").json["restarts"]) == (503, 3)


def test_jobs_that_are_not_registered_are_shown_with_their_place(site: Site) -> None:
    assert "Wrong in the files" not in site.ask("/").text
    site.desk.state = {"status": "ok", "problems": ["jobs.yaml:3:1: <bad> name"]}
    assert "jobs.yaml:3:1: &lt;bad&gt; name" in site.ask("/").text


def test_a_pause_and_jobs_that_no_node_may_run_are_shown(site: Site) -> None:
    site.desk.state = {"status": "ok", "queue": {"paused": False}, "unserved": []}
    shown = site.ask("/").text
    assert "Paused" not in shown
    assert "No node here may run" not in shown
    names = ["<picky>", *(f"job-{number}" for number in range(59))]
    site.desk.state = {"status": "ok", "queue": {"paused": True}, "unserved": names}
    shown = site.ask("/").text
    assert "Paused" in shown
    assert "&lt;picky&gt;, job-0" in shown
    assert "job-48, and 10 more" in shown


def test_the_description_of_a_job_is_shown_as_text(site: Site) -> None:
    site.desk.begin()
    assert 'class="description"' not in site.ask("/job/unit/").text
    site.desk.descriptions["unit"] = "Tests <b>all,\n& \u202e{{ more }}\n"
    assert '<p class="description">Tests &lt;b&gt;all,\n&amp; \ufffd{{ more }}\n</p>' in site.ask("/job/unit/").text


def test_pages_allow_no_script_but_their_own(site: Site) -> None:
    site.desk.begin(parameters={"<i>": "<script>alert(1)</script>\u202e"})
    site.desk.history.describe("unit", 1, "<script>alert(2)</script><b>kept</b>")
    for path in ("/", "/job/unit/", "/job/unit/1/", "/job/unit/1/console", "/job/unit/1/artifact/"):
        answer = site.ask(path)
        assert answer.status == 200
        assert "default-src 'none'; script-src 'self';" in answer.headers["Content-Security-Policy"]
        assert "alert(1)" not in answer.text.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")
        assert "<script>" not in answer.text
        assert " style=" not in answer.text
    page = site.ask("/job/unit/1/").text
    assert "&lt;i&gt;" in page
    assert "alert(2)" not in page
    assert "<b>kept</b>" in page
    assert "\u202e" not in page


def test_parts_of_pages_are_kept_by_the_browser_until_they_change(site: Site) -> None:
    answer = site.ask("/static/page.css")
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert site.ask("/static/page.css", headers={"If-None-Match": answer.headers["ETag"]}).status == 304


def test_a_history_that_cannot_be_read_is_no_fault_of_the_reader(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    class Locked:
        def find(self, job: str, number: int) -> BuildRecord | None:
            raise RemoteUnavailable("database is locked: /secret/path")

    site.desk.history = Locked()  # type: ignore[assignment]
    answer = site.ask("/job/unit/1/")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "secret" not in answer.text
    assert "database is locked" in caplog.text


def test_a_fault_of_ours_is_logged_and_not_shown(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.desk.history = None  # type: ignore[assignment]
    answer = site.ask("/job/unit/1/")
    assert (answer.status, "NoneType" in answer.text) == (500, False)
    assert "NoneType" in caplog.text
