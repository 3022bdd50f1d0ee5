import gzip
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from support.states import EPOCH, add_build, add_item, make_change, make_layout, make_pipeline, make_state, tree

from zuul_launcher.web.app import STATIC, make_app
from zuul_launcher.web.board import Board
from zuul_launcher.web.serve import Page
from zuul_launcher.web.status import View, document, encode

LAYOUT = make_layout(make_pipeline("check", "independent"), trees={"org/project": {"check": tree("unit")}})


def body(*numbers: str) -> bytes:
    state = make_state()
    for number in numbers:
        item = add_item(state, LAYOUT, make_change(number, "1", "org/project"), "check", queue=f"q{number}")
        add_build(item, "unit", started_at=EPOCH)
    return encode(document(state, LAYOUT, View(now=EPOCH + 5, version="0.1")))


class Clock:
    """The time that answers carry, set by hand."""

    def __init__(self) -> None:
        self.now = EPOCH + 60

    def __call__(self) -> float:
        return self.now


async def repositories(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"repository {scope['path']}")(scope, receive, send)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(board: Board, clock: Clock) -> Iterator[httpx.Client]:
    """A reader of the real thing: uvicorn on a free port."""
    app = make_app(board, clock=clock, expiry=3, title="gate <of> us", git_app=repositories)
    with Page(app) as page, httpx.Client(base_url=page.url, timeout=30, trust_env=False) as client:
        yield client


def test_both_names_give_the_document_with_the_headers_of_v2(board: Board, client: httpx.Client) -> None:
    board.publish(body("1"), EPOCH)
    for path in ("/status", "/status.json"):
        answer = client.get(path, headers={"Accept-Encoding": "identity"})
        assert (answer.status_code, answer.content) == (200, body("1"))
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Content-Length"] == str(len(answer.content))
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cache-Control"] == "public, max-age=3"
        assert answer.headers["Last-Modified"] == "Fri, 14 Jul 2017 02:40:00 GMT"
        assert answer.headers["Expires"] == "Fri, 14 Jul 2017 02:40:03 GMT"
        assert answer.headers["Date"] == "Fri, 14 Jul 2017 02:41:00 GMT"


def test_before_the_first_document_readers_are_told_to_come_again(client: httpx.Client) -> None:
    answer = client.get("/status.json")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_the_newest_document_is_given_and_the_board_knows_when_somebody_looked(
    board: Board, clock: Clock, client: httpx.Client
) -> None:
    board.publish(body("1"), EPOCH)
    assert board.asked_at == 0
    assert client.get("/status.json").content == body("1")
    assert board.asked_at == clock.now
    board.publish(body("1", "2"), EPOCH + 1)
    assert client.get("/status.json").content == body("1", "2")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_any_method_is_served(method: str, board: Board, client: httpx.Client) -> None:
    board.publish(body(), EPOCH)
    assert client.request(method, "/status.json").content == body()


def test_head_gives_the_headers_alone(board: Board, client: httpx.Client) -> None:
    board.publish(body(), EPOCH)
    for path in ("/status.json", "/"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 0


def test_compressed_answers_are_made_once_and_only_for_who_takes_them(board: Board, client: httpx.Client) -> None:
    board.publish(body("1", "2", "3"), EPOCH)
    newest = board.newest
    assert newest is not None
    with client.stream("GET", "/status.json", headers={"Accept-Encoding": "br;q=1, GZIP;q=0.5"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(raw) == body("1", "2", "3")
    assert newest.compressed is newest.compressed
    for refused in ("identity", "gzip;q=0", "gzip; q=0.000, br", ""):
        answer = client.get("/status.json", headers={"Accept-Encoding": refused})
        assert "Content-Encoding" not in answer.headers, refused
        assert answer.headers["Vary"] == "Accept-Encoding"


def test_a_reader_who_has_the_document_gets_304(board: Board, client: httpx.Client) -> None:
    board.publish(body("1"), EPOCH)
    tag = client.get("/status.json").headers["ETag"]
    for known in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        answer = client.get("/status.json", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    board.publish(body("1", "2"), EPOCH)
    assert client.get("/status.json", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Fri, 14 Jul 2017 02:40:00 GMT", 304),
        ("Fri, 14 Jul 2017 02:41:00 GMT", 304),
        ("Fri, 14 Jul 2017 02:39:59 GMT", 200),
        ("yesterday", 200),
        ("Fri, 14 Jul 99999999 02:41:00 GMT", 200),
        ("", 200),
    ],
)
def test_a_reader_who_names_a_time_gets_304_if_nothing_is_newer(
    since: str, status: int, board: Board, client: httpx.Client
) -> None:
    board.publish(body("1"), EPOCH + 0.7)
    assert client.get("/status.json", headers={"If-Modified-Since": since}).status_code == status


def test_a_tag_that_differs_wins_over_a_time_that_does_not(board: Board, client: httpx.Client) -> None:
    board.publish(body("1"), EPOCH)
    headers = {"If-None-Match": '"old"', "If-Modified-Since": "Fri, 14 Jul 2017 02:41:00 GMT"}
    assert client.get("/status.json", headers=headers).status_code == 200


def test_a_change_is_found_by_its_exact_id(board: Board, client: httpx.Client) -> None:
    board.publish(body("1", "11"), EPOCH)
    answer = client.get("/status/change/1,1")
    assert [(item["id"], item["project"]) for item in answer.json()] == [("1,1", "org/project")]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    missing = client.get("/status/change/7,1")
    assert (missing.status_code, missing.json()) == (200, [])


@pytest.mark.parametrize(
    "path",
    [
        "/status/foo",
        "/status/",
        "/status.json/",
        "/status/change/",
        "/status/change/1",
        "/status/change/1,1/",
        "/status/change/1,1)(a+)+$",
        "/status/change/%D9%A1,1",
        "/keys/org/project.pub",
        "/static/",
        "/static/page.html",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/..%2f..%2fetc/passwd",
        "/%00",
        "//status.json",
        "/favicon.ico",
    ],
)
def test_anything_else_is_not_found(path: str, board: Board, client: httpx.Client) -> None:
    board.publish(body("1"), EPOCH)
    url = client.base_url.copy_with(raw_path=path.encode())
    answer = client.get(url)
    assert answer.status_code == 404
    assert b"import" not in answer.content


def test_a_very_long_path_is_no_trouble(client: httpx.Client) -> None:
    assert client.get("/" + "a" * 60_000).status_code in (400, 404)


def test_the_page_may_run_its_own_script_only_and_its_title_is_text(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "gate &lt;of&gt; us" in answer.text
    assert "<of>" not in answer.text


@pytest.mark.parametrize("name", STATIC)
def test_the_parts_of_the_page_are_there_and_known_by_tag(name: str, client: httpx.Client) -> None:
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 200
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    assert answer.headers["Content-Type"].startswith(kinds[name.rpartition(".")[2]])
    again = client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_repositories_are_served_under_p_by_whoever_is_given(client: httpx.Client) -> None:
    assert client.get("/p/org/project/info/refs").text.startswith("repository /")


def test_without_repositories_there_is_nothing_under_p(board: Board, clock: Clock) -> None:
    with Page(make_app(board, clock=clock)) as page:
        assert httpx.get(page.url + "p/org/project/info/refs", trust_env=False, timeout=30).status_code == 404


def test_a_page_ends_its_thread_and_frees_its_port(board: Board, clock: Clock) -> None:
    page = Page(make_app(board, clock=clock))
    page.start()
    assert httpx.get(page.url, trust_env=False, timeout=30).status_code == 200
    assert page.alive
    page.stop()
    page.stop()
    assert not page.alive
    assert "page" not in [thread.name for thread in threading.enumerate()]
    with Page(make_app(board, clock=clock), port=page.port) as again:
        assert again.port == page.port


def test_a_page_that_never_served_can_be_stopped(board: Board, clock: Clock) -> None:
    Page(make_app(board, clock=clock)).stop()


def test_a_page_told_to_stop_at_once_does_so(board: Board, clock: Clock) -> None:
    for _ in range(10):
        page = Page(make_app(board, clock=clock))
        page.start()
        page.stop()
        assert not page.alive


def test_many_readers_at_once_get_whole_documents(board: Board, client: httpx.Client) -> None:
    seen: list[Any] = []

    def read() -> None:
        for _ in range(20):
            seen.append(json.loads(client.get("/status.json").content)["zuul_version"])

    board.publish(body("1"), EPOCH)
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for position in range(50):
        board.publish(body(str(position)), EPOCH + position)
    for reader in readers:
        reader.join(60)
    assert seen == ["0.1"] * 80
