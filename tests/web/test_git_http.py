"""Mergers' repositories over HTTP: real git clones and fetches; everything but fetching is not there."""

import asyncio
import gzip
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from httpx import Client
from starlette.applications import Starlette
from starlette.routing import Mount
from support.git_world import Upstream, git
from support.waiting import wait_until

from zuul_launcher.web.git import cgi_environment, git_application, parse_head, repository_path

Z = "Z" + "0" * 31 + "1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A GIT_DIR with a bare repository, one as v2 left it, and a secret beside."""
    project = Upstream(tmp_path / "upstream", "p", {f"file{n}": f"{n}\n" * 500 for n in range(50)})
    root = tmp_path / "git"
    root.mkdir()
    git(root, "clone", "--quiet", "--bare", project.url, "org/project")
    git(root, "clone", "--quiet", project.url, "v2")
    for path in (root / "org" / "project", root / "v2"):
        git(path, "update-ref", f"refs/zuul/master/{Z}", "HEAD")
    git(tmp_path, "clone", "--quiet", "--bare", project.url, "outside")
    (root / "link").symlink_to(tmp_path / "outside")
    return root


@pytest.fixture
def url(root: Path) -> Iterator[str]:
    application = Starlette(routes=[Mount("/p", git_application(root, deadline=60))])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/p"
        server.should_exit = True
        thread.join(60)


@pytest.mark.parametrize("project", ["org/project", "v2"])
@pytest.mark.parametrize("version", ["0", "2"])
def test_a_worker_clones_and_fetches_a_merged_state(url: str, tmp_path: Path, project: str, version: str) -> None:
    git(tmp_path, "-c", f"protocol.version={version}", "clone", "--quiet", f"{url}/{project}", "clone")
    clone = tmp_path / "clone"
    assert len(list(clone.glob("file*"))) == 50
    git(clone, "-c", f"protocol.version={version}", "fetch", "--quiet", "origin", f"refs/zuul/master/{Z}")
    assert git(clone, "rev-parse", "FETCH_HEAD") == git(clone, "rev-parse", "HEAD")


def test_a_body_that_comes_in_chunks_of_unknown_length_is_understood(url: str) -> None:
    with Client(trust_env=False, timeout=60) as client:
        answer = client.post(
            f"{url}/org/project/git-upload-pack",
            content=iter([b"0014comm", b"and=ls-refs\n", b"0000"]),
            headers={"Git-Protocol": "version=2"},
        )
    assert f"refs/zuul/master/{Z}".encode() in answer.content


def test_a_push_is_refused(url: str, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", f"{url}/org/project", "clone")
    pushed = subprocess.run(
        ["git", "push", "origin", "HEAD:refs/heads/evil"], cwd=tmp_path / "clone", capture_output=True, timeout=60
    )
    assert pushed.returncode != 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/org/project/info/refs"),
        ("GET", "/org/project/info/refs?service=git-receive-pack"),
        ("GET", "/org/project/info/refs?service=git-upload-pack&x=1"),
        ("POST", "/org/project/git-receive-pack"),
        ("GET", "/org/project/git-upload-pack"),
        ("POST", "/org/project/info/refs?service=git-upload-pack"),
        ("GET", "/org/project/HEAD"),
        ("GET", "/org/project/config"),
        ("GET", "/org/project/objects/info/packs"),
        ("GET", "/v2/file1"),
        ("GET", "/v2/.git/info/refs?service=git-upload-pack"),
        ("GET", "/org/info/refs?service=git-upload-pack"),
        ("GET", "/none/info/refs?service=git-upload-pack"),
        ("GET", "/link/info/refs?service=git-upload-pack"),
        ("GET", "/..%2foutside/info/refs?service=git-upload-pack"),
        ("GET", "/org%2f..%2f..%2foutside/info/refs?service=git-upload-pack"),
        ("GET", "/%00/info/refs?service=git-upload-pack"),
        ("GET", "//etc/info/refs?service=git-upload-pack"),
        ("GET", "/" + "x" * 5000 + "/info/refs?service=git-upload-pack"),
        ("DELETE", "/org/project/info/refs?service=git-upload-pack"),
    ],
    ids=lambda value: value[:60],
)
def test_anything_but_a_fetch_is_not_there(url: str, method: str, path: str) -> None:
    with Client(trust_env=False, timeout=60) as client:
        assert client.request(method, url + path).status_code == 404


def test_a_body_in_gzip_is_understood(url: str) -> None:
    with Client(trust_env=False, timeout=60) as client:
        answer = client.post(
            f"{url}/org/project/git-upload-pack",
            content=gzip.compress(b"0014command=ls-refs\n0000"),
            headers={"Content-Encoding": "gzip", "Git-Protocol": "version=2"},
        )
    assert answer.status_code == 200
    assert f"refs/zuul/master/{Z}".encode() in answer.content
    assert answer.headers["content-type"] == "application/x-git-upload-pack-result"


def test_the_child_sees_no_header_but_the_known_ones(root: Path) -> None:
    scope: dict[str, Any] = {
        "path": "/p/org/project/info/refs",
        "root_path": "/p",
        "method": "GET",
        "query_string": b"service=git-upload-pack",
        "headers": [(b"git-protocol", b"version=2:x=y\n"), (b"proxy", b"x"), (b"content-encoding", b"br")],
    }
    environment = cgi_environment(scope, root)
    assert environment is not None
    assert environment["PATH_INFO"] == "/org/project/info/refs"
    assert not [name for name in environment if name.startswith("HTTP_")]


def test_a_name_leads_to_a_repository_below_the_root_or_nowhere(root: Path) -> None:
    assert repository_path(root, "org/project") == root / "org" / "project"
    for name in ("link", "../outside", "org", "org/project.git", "/org/project", "-x", "org//project", "a\0"):
        assert repository_path(root, name) is None


def test_status_and_content_type_are_taken_from_the_child() -> None:
    assert parse_head(b"Status: 403 Forbidden\r\nContent-Type: text/plain\r\nSet-Cookie: x\r\n\r\n") == (
        403,
        [(b"x-content-type-options", b"nosniff"), (b"content-type", b"text/plain")],
    )
    assert parse_head(b"\r\n")[0] == 200


def test_a_client_that_stays_too_long_is_cut_off(root: Path) -> None:
    """The request's body never ends: the child is ended at the deadline."""
    scope: dict[str, Any] = {
        "type": "http",
        "path": "/org/project/git-upload-pack",
        "method": "POST",
        "query_string": b"",
        "headers": [],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(git_application(root, deadline=0.2)(scope, receive, send))
    assert not any(message.get("more_body") is False for message in sent)
