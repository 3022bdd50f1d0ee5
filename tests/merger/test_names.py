"""Names that must never reach git or the file system, and those that must."""

import subprocess

import pytest

from zuul_launcher.errors import RequestError
from zuul_launcher.merger.names import check_branch, check_project, check_ref, check_url, zuul_ref

HOSTILE_PROJECTS = [
    *("../x", "a/../../x", "-foo", "a/-foo", "/etc", "a//b", "a/", "", ".", "..", ".git", "a/.git", "a/.GIT/b"),
    *("a.git", "a/b.git/c", "a\nb", "a\0b", "a\\b", ".zuul-launcher/lock", "x" * 300, "a/" * 600 + "a", "\ud800"),
]
HOSTILE_BRANCHES = [
    *("--upload-pack=touch /x", "-c core.sshCommand=x", "../x", "a..b", "@{-1}", "a b", "a" * 4096, "", "a:b", "+a:b"),
    *("a.lock", "a/.b", "a//b", "a/", "/a", "a~1", "a^", "a?", "a*", "a[", "a\\b", "a\nb", "a\x7f", "refs/zuul/m/Z1"),
    *("@", "a.", "a/b.lock/c", "\ud800"),
]


@pytest.mark.parametrize("name", HOSTILE_PROJECTS, ids=ascii)
def test_a_hostile_project_name_is_refused(name: str) -> None:
    with pytest.raises(RequestError):
        check_project(name)


@pytest.mark.parametrize("name", ["a", "org/project", "x/.github", "a b", "ünï/x", "c++", "a/refs", "a.b-c_d", "r/a~b"])
def test_an_unusual_project_name_is_allowed(name: str) -> None:
    assert check_project(name) == name


@pytest.mark.parametrize("name", HOSTILE_BRANCHES, ids=lambda name: ascii(name)[:40])
def test_a_hostile_branch_name_is_refused(name: str) -> None:
    with pytest.raises(RequestError):
        check_branch(name)


@pytest.mark.parametrize("name", ["master", "stable/1.0", "feature/ünï", "a-b_c", "x@y", "a;id", "$(id)", "it's", '"'])
def test_an_unusual_branch_name_is_allowed(name: str) -> None:
    assert check_branch(name) == name


@pytest.mark.parametrize(
    "name",
    [
        f"refs/heads/{name}"
        for name in (*HOSTILE_BRANCHES, "a", "a/b", "a.b", "a@b", "a{b", "@", ".a", "a.lockx", "-a")
        if name != "\ud800" and len(name) < 255  # cannot be asked of git
    ],
    ids=lambda name: ascii(name)[:40],
)
def test_the_rules_of_refs_are_those_of_git(name: str) -> None:
    git_takes_it = subprocess.run(["git", "check-ref-format", name], timeout=60).returncode == 0
    try:
        check_ref(name)
        we_take_it = True
    except RequestError:
        we_take_it = False
    assert we_take_it == git_takes_it


@pytest.mark.parametrize("name", ["", "Z1/x", "../Z", "Z 1", "Z:1"])
def test_the_name_of_a_merged_state_is_one_part_of_a_ref(name: str) -> None:
    assert zuul_ref("stable/1", "Z0ab") == "refs/zuul/stable/1/Z0ab"
    with pytest.raises(RequestError):
        zuul_ref("master", name)


@pytest.mark.parametrize(
    "url",
    [
        *("ext::sh -c touch% /x", "file:///etc", "ssh://-oProxyCommand=x/p", "ssh://-l@host/p", "/etc", "../x"),
        *("user@host:path", "ssh://", "git://host/x", "https://host/a b", "ssh://host/\nx", "--upload-pack=x", ""),
        *("http://[x/", "ssh://host/" + "x" * 2000),
    ],
    ids=lambda url: ascii(url)[:40],
)
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(RequestError):
        check_url(url)


@pytest.mark.parametrize("url", ["ssh://zuul@review.example.org:29418/org/p", "https://h/p", "http://127.0.0.1:8080/p"])
def test_the_urls_of_git_servers_are_allowed(url: str) -> None:
    assert check_url(url) == url


def test_paths_of_this_machine_are_allowed_only_on_request() -> None:
    assert check_url("file:///srv/git/p", allow_file=True) == "file:///srv/git/p"
    with pytest.raises(RequestError):
        check_url("file:///srv/git/p")
