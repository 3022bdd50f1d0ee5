"""Branches, refs, projects and URLs of strangers: taken as names, or refused; nothing in them is ever done."""

from pathlib import Path

import pytest
from support.cloner_world import World
from support.git_world import git

TRAP = "trap"  # what the names try to make, in the folder where the command runs
ALLOWED = [
    "$(touch${IFS}trap)",
    "`touch${IFS}trap`",
    "a;touch${IFS}trap",
    "a|b&c>trap",
    "'\"quoted\"'",
    "mas.er",
    "(m+)+$",
    "ünïcödé/\U0001f4a9",
    "%s{0}%n",
    "a" * 200,
]
REFUSED = [
    "--upload-pack=touch trap",
    "-c core.sshCommand=touch${IFS}trap x",
    "refs/heads/..",
    "@{-1}",
    "master~1",
    "mas*er",
    "master:refs/heads/other",
    "^master",
    "two words",
    "a\nb",
    "/master",
    "master.lock",
    "a" * 4096 + "..",
]


@pytest.fixture(autouse=True)
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run where it would be seen if a name was taken for one."""
    monkeypatch.chdir(world.root)
    return world.root


@pytest.mark.parametrize("branch", ALLOWED)
@pytest.mark.parametrize("with_cache", [False, True], ids=["no cache", "cache"])
def test_a_branch_with_a_hostile_name_is_a_branch_like_any_other(world: World, branch: str, with_cache: bool) -> None:
    one, two = world.project("one"), world.project("two")
    for project in (one, two):
        git(project.path, "update-ref", f"refs/heads/{branch}", "master")
    git(two.path, "update-ref", "refs/heads/a\u2028line\x85", "master")
    tip = two.commit("master", {"M": "M"})
    options = ["--cache-dir", world.root / "upstream"] if with_cache else []
    item = one.change(branch, {"A": "A"}, "A", parent="master")
    item["branch"] = branch
    git(one.path, "checkout", "--quiet", "master")
    one.commit("master", {"later": "l"}, "later")
    variables = world.build(item)
    world.clone(*options, world.base, "one", "two", variables=variables)
    assert world.subjects("one") == ["A", "initial commit"]
    assert world.head("two") == git(two.path, "rev-parse", f"refs/heads/{branch}")
    assert world.head("two") != tip
    world.clone(*options, "--branch", branch, "--project-branch", "two=master", world.base, "one", "two")
    assert world.subjects("one") == ["initial commit"]
    assert world.head("two") == tip
    assert not list(world.root.rglob(TRAP))


@pytest.mark.parametrize("branch", REFUSED)
def test_what_git_allows_for_no_branch_is_a_usage_error(world: World, branch: str) -> None:
    ref = f"refs/zuul/{branch}/Z1"
    for options in (
        [f"--branch={branch}"],
        [f"--project-branch=one={branch}"],
        [f"--zuul-branch={branch}"],
        [f"--zuul-ref={ref}", f"--zuul-url={world.zuul_url}"],
    ):
        result = world.call("--workspace", world.workspace, *options, world.base, "one")
        assert result.exit_code == 2, result.output
        assert "is not a name that git allows for a ref" in result.output
        assert len(result.output) < 500
    assert not world.workspace.exists()
    assert not list(world.root.rglob(TRAP))


@pytest.mark.parametrize("ref", ["master", "--upload-pack=x", "HEAD", "+refs/heads/master", "refs/heads/*", "refs"])
def test_a_zuul_ref_is_a_full_name(world: World, ref: str) -> None:
    result = world.call(f"--zuul-ref={ref}", f"--zuul-url={world.zuul_url}", world.base, "one")
    assert result.exit_code == 2
    assert "is not a name that git allows for a ref" in result.output


def test_a_branch_that_looks_like_an_option_is_only_not_there(world: World) -> None:
    one = world.project("one")
    world.clone("--branch=--upload-pack=trap", world.base, "one")
    assert world.head("one") == git(one.path, "rev-parse", "master")
    git(one.path, "update-ref", "refs/heads/--orphan", one.commit("master", {"other": "o"}))
    git(one.path, "reset", "--quiet", "--hard", "HEAD^")
    world.clone("--branch=--orphan", world.base, "one")
    assert world.head("one") == git(one.path, "rev-parse", "refs/heads/--orphan")


@pytest.mark.parametrize(
    "name", ["refs/heads/master", "HEAD", "FETCH_HEAD", "refs/remotes/origin/master", "origin/master"]
)
def test_a_branch_that_is_named_like_another_ref_is_not_taken_for_it(world: World, name: str) -> None:
    one = world.project("one")
    good = one.commit("master", {"good": "g"})
    evil = one.commit("master", {"evil": "e"})
    git(one.path, "reset", "--quiet", "--hard", good)
    git(one.path, "update-ref", f"refs/heads/{name}", evil)
    git(one.path, "update-ref", f"refs/tags/{name}", evil)
    for _ in range(2):
        world.clone(world.base, "one")
        assert world.head("one") == good
    item = one.change("master", {"A": "A"}, "A", parent=good)
    world.clone(world.base, "one", variables=world.build(item))
    assert world.subjects("one") == ["A", "commit", "initial commit"]


@pytest.mark.parametrize("project", ["../outside", "/etc", "a/../../b", "-foo", "a//b", ".", "a\nb"])
def test_a_project_that_leads_elsewhere_is_refused_before_anything_is_cloned(world: World, project: str) -> None:
    world.project("one")
    result = world.call("--workspace", world.workspace, "--", world.base, "one", project)
    assert result.exit_code == 1
    assert "is not a name that a project can have" in result.output
    assert not world.workspace.exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ext::sh -c touch% trap %S", "transport 'ext' not allowed"),
        ("fd::17", "transport 'fd' not allowed"),
        ("ssh://-oProxyCommand=touch${IFS}trap", "strange hostname"),
        ("--upload-pack=touch trap", "is not a URL that git could fetch from"),
        ("-oProxyCommand=touch trap", "is not a URL that git could fetch from"),
        ("http://127.0.0.1:9/\nevil", "is not a URL that git could fetch from"),
    ],
)
def test_a_url_is_never_a_command_or_an_option(world: World, url: str, said: str) -> None:
    world.project("one")
    for arguments, variables in (
        (["--", url, "one"], {}),
        (["--", world.base, "one"], {"ZUUL_URL": url, "ZUUL_PROJECT": "one"}),
    ):
        result = world.call("--workspace", world.workspace, *arguments, variables=variables)
        assert result.exit_code in (1, 2)
        assert said in result.output
    assert not list(world.root.rglob("trap*"))


def test_no_filter_of_a_change_runs_a_command(world: World) -> None:
    """A repository names filters, but what they are is for the user to say."""
    world.project(
        "one", {".gitattributes": "* filter=evil\n", ".gitconfig": '[filter "evil"]\n\tsmudge = touch trap\n'}
    )
    world.clone(world.base, "one")
    assert world.subjects("one") == ["initial commit"]
    assert not list(world.root.rglob(TRAP))


def test_passwords_in_urls_are_not_shown(world: World) -> None:
    for user in ("user:secret", ":secret"):
        result = world.call("-v", "--workspace", world.workspace, f"http://{user}@127.0.0.1:9/p", "one")
        assert result.exit_code == 1
        assert "http://" in result.output
        assert "secret" not in result.output
