"""What happens to directories: caches, used workspaces, projects inside projects, files that are in the way."""

import shutil
from pathlib import Path

import pytest
from support.cloner_world import World
from support.git_world import Upstream, git

MAP = "clonemap: [{name: 'core/ext/(.+)', dest: 'core/plugins/\\1'}]\n"


def make_cache(world: World, project: Upstream, form: str) -> Path:
    """A copy of a project in a cache, in one of the forms that sites have."""
    cache = world.root / "cache"
    name = f"{project.name}.git" if form == "PROJECT.git" else project.name
    (cache / name).parent.mkdir(parents=True)
    options = ["--bare"] if form in ("bare", "PROJECT.git") else ["--mirror"] if form == "mirror" else []
    source = str(project.path) if form == "borrowing" else project.url
    options += ["--shared"] if form == "borrowing" else ["--depth=1"] if form == "shallow" else []
    git(world.root, "clone", "--quiet", *options, source, str(cache / name))
    return cache


@pytest.mark.parametrize("form", ["work tree", "bare", "PROJECT.git", "mirror", "borrowing", "shallow"])
def test_a_clone_from_a_cache_is_up_to_date_and_outlives_the_cache(world: World, form: str) -> None:
    one = world.project("org/one", {f"file{number}": f"{number}\n" * 100 for number in range(20)})
    one.commit("master", {"second": "2"}, "second")
    one.branch("gone")
    cache = make_cache(world, one, form)
    git(one.path, "branch", "-D", "gone")
    item = one.change("master", {"A": "A"}, "A")
    tip = one.commit("master", {"third": "3"}, "third")
    said = world.clone("--cache-dir", cache, world.base, "org/one", variables=world.build(item))
    assert "cloning from the cache" in said
    assert ("the cache is left out" in said) == (form == "shallow")
    shutil.rmtree(cache)
    assert world.subjects("org/one") == ["A", "initial commit", "second", "third"]
    assert world.origin("org/one") == f"{world.zuul_url}/org/one"
    clone = world.workspace / "org/one"
    assert not (clone / ".git/objects/info/alternates").exists()
    git(clone, "fsck", "--strict")
    world.clone(world.base, "org/one")
    assert world.head("org/one") == tip
    assert world.origin("org/one") == f"{world.base}/org/one"
    branches = git(clone, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes").splitlines()
    assert set(branches) <= {"refs/heads/master", "refs/remotes/origin/master", "refs/remotes/origin/HEAD"}


def test_the_cache_of_the_option_beats_that_of_the_variable_and_without_both_there_is_none(world: World) -> None:
    one = world.project("one")
    cache = make_cache(world, one, "bare")
    nothing = world.root / "nothing"
    said = []
    for options, variables in (
        (["--cache-dir", cache], {"ZUUL_CACHE_DIR": str(nothing)}),
        (["--cache-dir", nothing], {"ZUUL_CACHE_DIR": str(cache)}),
        ([], {"ZUUL_CACHE_DIR": str(cache)}),
        ([], {}),
    ):
        said.append(world.clone(*options, world.base, "one", variables=variables))
        assert world.origin("one") == f"{world.base}/one"
        shutil.rmtree(world.workspace)
    assert [f"cloning from the cache {cache}/one" in text for text in said] == [True, False, True, False]


def test_repositories_of_another_user_are_used(world: World) -> None:
    one = world.project("one")
    cache = make_cache(world, one, "work tree")
    # Git's own switch for this: what belongs to us is taken as if it belonged to somebody else. A git server on this
    # machine would refuse to serve; that one file is given to us by name shows that the others were taken.
    foreign = {"ZUUL_CACHE_DIR": str(cache), "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    said = world.clone(world.base, "one", variables=foreign, fails=True)
    assert "the cache is left out" not in said
    assert "cannot fetch from" in said
    assert "dubious ownership" in said
    assert git(world.workspace / "one", "rev-parse", "refs/remotes/origin/master")


def test_objects_of_the_cache_are_shared_while_it_is_there(world: World) -> None:
    cache = make_cache(world, world.project("one"), "bare")
    world.clone("--cache-dir", cache, world.base, "one")
    kept = [path.stat().st_ino for path in (cache / "one/objects").rglob("*") if path.is_file()]
    cloned = [path.stat().st_ino for path in (world.workspace / "one/.git/objects").rglob("*") if path.is_file()]
    assert set(kept) & set(cloned)


def test_a_broken_cache_is_left_out(world: World) -> None:
    cache = make_cache(world, world.project("one"), "bare")
    shutil.rmtree(cache / "one/objects")
    (cache / "one/objects").mkdir()
    said = world.clone("--cache-dir", cache, world.base, "one")
    assert "the cache is left out" in said
    assert world.subjects("one") == ["initial commit"]


def test_what_an_earlier_job_left_is_gone(world: World) -> None:
    one = world.project("one", {"README": "first\n", ".gitignore": "*.o\n"})
    one.branch("topic")
    world.clone(world.base, "one")
    clone = world.workspace / "one"
    git(clone, "checkout", "--quiet", "master")
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "local")
    (clone / "README").write_text("changed\n")
    (clone / "made.o").write_text("ignored")
    (clone / "new").mkdir()
    (clone / "new/file").write_text("untracked")
    git(clone, "add", "README")
    for lock in ("index.lock", "config.lock", "HEAD.lock", "refs/heads/master.lock"):
        (clone / ".git" / lock).touch()
    git(one.path, "branch", "-D", "topic")
    one.branch("topic/deeper")
    tip = one.commit("master", {"new": "a file where a folder was"})
    world.clone(world.base, "one")
    assert world.head("one") == tip
    assert git(clone, "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines() == [
        "master",
        "topic/deeper",
    ]
    assert git(clone, "rev-parse", "refs/heads/master") == tip


def test_a_clone_that_was_killed_is_completed(world: World) -> None:
    one = world.project("one")
    world.workspace.mkdir()
    git(world.workspace, "init", "--quiet", "one")
    (world.workspace / "one/.git/objects/pack/tmp_pack_half").write_bytes(b"PACK")
    (world.workspace / "one/.git/config.lock").touch()
    world.clone(world.base, "one", variables=world.build(one.change("master", {"A": "A"}, "A")))
    assert world.subjects("one") == ["A", "initial commit"]


def test_tags_are_there_and_moved_ones_move(world: World) -> None:
    one = world.project("one")
    for number in range(2):
        commit = one.commit("master", {"file": str(number)})
        git(one.path, "tag", "--force", "v1")
        world.clone(world.base, "one")
        assert git(world.workspace / "one", "rev-parse", "refs/tags/v1") == commit


def test_a_project_inside_another_is_kept_when_that_is_brought_up_to_date(world: World) -> None:
    world.project("core")
    inside = world.project("core/ext/a")
    (world.root / "map.yaml").write_text(MAP)
    for number in range(2):
        commit = inside.commit("master", {"file": str(number)})
        world.clone("--map", world.root / "map.yaml", world.base, "core", "core/ext/a")
        assert git(world.workspace / "core/plugins/a", "rev-parse", "HEAD") == commit
    assert git(world.workspace / "core", "rev-parse", "--show-toplevel") == str(world.workspace / "core")


def test_an_empty_submodule_directory_is_a_place_for_a_project(world: World) -> None:
    inside = world.project("inside")
    core = world.project("core")
    commit = git(inside.path, "rev-parse", "master")
    git(core.path, "update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    (core.path / "module").mkdir()
    git(core.path, "commit", "--quiet", "-m", "with a submodule")
    (world.root / "map.yaml").write_text("clonemap: [{name: inside, dest: core/module}]")
    world.clone("--map", world.root / "map.yaml", world.base, "core", "inside")
    assert git(world.workspace / "core/module", "config", "remote.origin.url") == f"{world.base}/inside"
    assert world.origin("core") == f"{world.base}/core"


def test_a_project_that_comes_after_one_inside_it_is_refused(world: World) -> None:
    world.project("core")
    world.project("core/ext/a")
    said = world.clone(world.base, "core/ext/a", "core", fails=True)
    assert "other files are there. If another project lies inside, name it after this one" in said


def test_files_that_are_in_the_way_are_not_deleted(world: World) -> None:
    world.project("one")
    world.workspace.mkdir()
    (world.workspace / "precious").write_text("mine")
    (world.root / "map.yaml").write_text("clonemap: [{name: one, dest: .}]")
    said = world.clone("-m", world.root / "map.yaml", world.base, "one", fails=True)
    assert "other files are there" in said
    assert [path.name for path in world.workspace.iterdir()] == ["precious"]
    (world.workspace / "precious").unlink()
    world.clone("-m", world.root / "map.yaml", world.base, "one")
    assert sorted(path.name for path in world.workspace.iterdir()) == [".git", "README"]


def test_without_a_workspace_projects_go_where_the_caller_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.project("org/one")
    world.workspace.mkdir()
    monkeypatch.chdir(world.root)
    result = world.call("--workspace", "workspace", "upstream", "org/one")
    assert result.exit_code == 0, result.output
    monkeypatch.chdir(world.workspace)
    for path in ("../upstream", world.root / "upstream"):
        shutil.rmtree("org")
        assert world.call(path, "org/one").exit_code == 0
        assert world.subjects("org/one") == ["initial commit"]


@pytest.mark.parametrize("target", ["..", "../../outside", ".git"])
def test_a_link_in_a_project_does_not_lead_the_next_one_elsewhere(world: World, target: str) -> None:
    core = world.project("core")
    (world.root / "outside").mkdir()
    (core.path / "plugins").symlink_to(f"../../{target}" if target == ".." else target)
    core.commit("master", {}, "a link")
    world.project("core/ext/evil")
    (world.root / "map.yaml").write_text(MAP)
    said = world.clone("-m", world.root / "map.yaml", world.base, "core", "core/ext/evil", fails=True)
    assert "a link leads out of the workspace or into a repository's own files" in said
    assert list((world.root / "outside").iterdir()) == []
    assert not (world.workspace / "core/.git/evil").exists()


def test_hooks_and_templates_of_the_machine_are_not_run_but_its_settings_hold(world: World) -> None:
    world.project("real")
    trap = world.root / "trap"
    hooks, template = world.root / "hooks", world.root / "template" / "hooks"
    for folder in (hooks, template):
        folder.mkdir(parents=True)
        for name in ("post-checkout", "reference-transaction", "post-index-change"):
            (folder / name).write_text(f"#!/bin/sh\ntouch '{trap}'\n")
            (folder / name).chmod(0o755)
    (world.root / "gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = touch '{trap}'\n[init]\n\ttemplateDir = {template.parent}\n"
        f'[url "{world.base}/"]\n\tinsteadOf = https://review.example.org/\n'
    )
    variables = {
        "GIT_CONFIG_GLOBAL": str(world.root / "gitconfig"),
        "GIT_TEMPLATE_DIR": str(template.parent),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{world.base}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://other.example.org/",
        "GIT_DIR": str(world.root / "elsewhere"),
        "GIT_WORK_TREE": str(world.root),
        "GIT_INDEX_FILE": str(world.root / "index"),
    }
    for url in ("https://review.example.org", "https://other.example.org"):
        world.clone(url, "real", variables=variables)
    assert not trap.exists()
    assert not (world.workspace / "real/.git/hooks").exists()
    assert world.subjects("real") == ["initial commit"]
    assert not {"elsewhere", "index"} & {path.name for path in world.root.iterdir()}
