"""Sources of builds: exactly what was asked for, and what becomes of builds that cannot have them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from support.build_world import QUICK, Ran, World, job, wait_text
from support.git_world import Upstream, git
from support.waiting import wait_until

from zuul_launcher.errors import RequestError
from zuul_launcher.worker.builds.scm import source
from zuul_launcher.worker.definitions.job import Git, Script, Shell

SHOW = "#!/bin/sh\ncat README; ls; git rev-parse HEAD; git status --porcelain; echo $GIT_COMMIT $GIT_BRANCH $GIT_URL"


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path / "server", "org/project")


def parameters(upstream: Upstream, ref: str = "refs/heads/master", commit: str = "") -> dict[str, str]:
    server = str(upstream.path)[: -len(upstream.name) - 1]
    return {"ZUUL_URL": f"file://{server}", "ZUUL_PROJECT": upstream.name, "ZUUL_REF": ref, "ZUUL_COMMIT": commit}


def zuul_ref(upstream: Upstream, name: str, files: Mapping[str, str]) -> tuple[str, str]:
    """A ref as the merger makes it, and its commit."""
    commit = upstream.commit("master", files, name)
    ref = f"refs/zuul/master/{name}"
    git(upstream.path, "update-ref", ref, commit)
    git(upstream.path, "reset", "--hard", "HEAD~1")
    return ref, commit


def ran(world: World, sent: Mapping[str, str], *scripts: str, **scm: Any) -> Ran:
    return world.run(job(*(scripts or (SHOW,)), scm=Git(**scm)), sent)


def test_exactly_the_ref_and_the_commit_are_checked_out(world: World, upstream: Upstream) -> None:
    """D83."""
    ref, commit = zuul_ref(upstream, "Z1", {"README": "of the change\n"})
    found = ran(world, parameters(upstream, ref, commit))
    assert found.result == "SUCCESS"
    assert f"of the change\nREADME\n{commit}\n{commit} {ref} file://{upstream.path}\n" in found.console


def test_a_commit_that_the_ref_holds_is_checked_out_though_the_ref_is_further(world: World, upstream: Upstream) -> None:
    """D83."""
    first = git(upstream.path, "rev-parse", "HEAD")
    upstream.commit("master", {"README": "second\n"})
    found = ran(world, parameters(upstream, commit=first))
    assert f"first\nREADME\n{first}\n{first} master" in found.console


def test_without_a_commit_it_is_what_the_ref_is(world: World, upstream: Upstream) -> None:
    found = ran(world, parameters(upstream, "master"))
    assert git(upstream.path, "rev-parse", "HEAD") in found.console


def test_a_commit_that_the_ref_does_not_hold_fails_the_build(world: World, upstream: Upstream) -> None:
    """D83."""
    _, other = zuul_ref(upstream, "Z1", {"README": "other\n"})
    found = ran(world, parameters(upstream, commit=other))
    assert found.result == "FAILURE"
    assert "does not hold the commit" in found.console
    assert ran(world, parameters(upstream, commit="0" * 40)).result == "FAILURE"


def test_stale_files_and_changes_are_gone_if_the_workspace_is_cleaned(world: World, upstream: Upstream) -> None:
    """D83."""
    upstream.commit("master", {".gitignore": "*.o\n"})
    spoil = "#!/bin/sh\necho changed > README; mkdir -p new/.git x; touch x/stale a.o; git add x; touch .git/index.lock"
    assert ran(world, parameters(upstream), spoil).result == "SUCCESS"
    found = ran(world, parameters(upstream), "#!/bin/sh\nls -A; cat README; git status --porcelain")
    assert found.result == "SUCCESS"
    assert found.console.startswith("[file://")
    assert ".git\n.gitignore\nREADME\nfirst\nFinished" in found.console


def test_stale_files_stay_if_it_is_not(world: World, upstream: Upstream) -> None:
    ran(world, parameters(upstream), "touch stale; echo changed > README", clean=False)
    assert "first\nREADME\nstale\n" in ran(world, parameters(upstream), clean=False).console


def test_a_ref_that_has_vanished_gives_no_result_and_is_not_waited_for(
    worlds: Callable[..., World], upstream: Upstream
) -> None:
    """D84."""
    world = worlds(limits=structs.replace(QUICK, fetch_pauses=(1000.0,)))
    found = ran(world, parameters(upstream, "refs/zuul/master/Zgone"))
    assert found.result is None
    assert "is not there any more" in found.console


def test_publishers_run_though_the_sources_could_not_be_had(world: World, upstream: Upstream) -> None:
    after = Script(steps=(Shell(text="#!/bin/sh\necho after"),))
    found = world.run(job("echo step", scm=Git(), publish=(after,)), parameters(upstream, "refs/zuul/master/Zgone"))
    assert found.result is None
    assert "after\n" in found.console
    assert "step" not in found.console


def test_a_server_that_is_down_is_tried_three_times(world: World, upstream: Upstream) -> None:
    """D84."""
    sent = parameters(upstream)
    upstream.path.rename(upstream.path.with_name("away"))
    found = ran(world, sent)
    assert found.result is None
    assert found.console.count("cannot be fetched: again in") == 2
    assert "could not be fetched in 3 tries" in found.console
    assert "+" not in found.console.replace("+refs", "")


def test_a_server_that_comes_back_is_enough(worlds: Callable[..., World], upstream: Upstream) -> None:
    """D84."""
    world = worlds(limits=structs.replace(QUICK, fetch_pauses=(0.3,) * 50))
    sent = parameters(upstream)
    away = upstream.path.with_name("away")
    upstream.path.rename(away)
    world.define(job(SHOW, scm=Git()))
    client = world.assign(payload=sent)
    wait_until(lambda: "cannot be fetched" in world.console())
    away.rename(upstream.path)
    assert client.end()["result"] == "SUCCESS"
    assert "first\n" in world.console()


def test_a_stop_ends_the_wait_for_a_server(worlds: Callable[..., World], upstream: Upstream) -> None:
    world = worlds(limits=structs.replace(QUICK, fetch_pauses=(1000.0,)))
    sent = parameters(upstream)
    upstream.path.rename(upstream.path.with_name("away"))
    world.define(job(SHOW, scm=Git()))
    client = world.assign(payload=sent)
    wait_until(lambda: "again in 1000 s" in world.console())
    assert world.builds.stop("unit", "1") == "aborting"
    assert client.end()["result"] == "ABORTED"


def test_sources_are_tried_again_as_often_as_the_job_allows(worlds: Callable[..., World], upstream: Upstream) -> None:
    world = worlds(limits=structs.replace(QUICK, fetch_pauses=()))
    sent = parameters(upstream, "refs/zuul/master/Zgone")
    found = world.run(job(SHOW, scm=Git(), retry_infra=2), sent)
    assert found.result is None
    assert found.console.count("trying again") == 2


def test_submodules_are_fetched_if_that_is_wanted(world: World, upstream: Upstream, tmp_path: Path) -> None:
    other = Upstream(tmp_path / "server", "lib", {"code": "of the library\n"})
    git(upstream.path, "submodule", "add", "--quiet", other.url, "lib")
    git(upstream.path, "commit", "--quiet", "-m", "add lib")
    allowed = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}
    script = "#!/bin/sh\ncat lib/code; ls lib; touch lib/stale"
    for _ in range(2):
        found = world.run(job(script, scm=Git(submodules=True), env=allowed), parameters(upstream))
        assert found.result == "SUCCESS"
        assert "of the library\ncode\nFinished" in found.console


def test_sources_may_lie_in_a_folder_of_the_workspace(world: World, upstream: Upstream) -> None:
    found = ran(world, parameters(upstream), "#!/bin/sh\ncat src/here/README", folder="src/here")
    assert "first\n" in found.console


def test_another_repository_borrows_what_the_node_has(world: World, upstream: Upstream) -> None:
    ran(world, parameters(upstream), "true", clean=False)
    alternates = world.place / "workspace" / "unit" / ".git" / "objects" / "info" / "alternates"
    assert Path(alternates.read_text().strip(), "pack").is_dir()
    found = ran(world, parameters(upstream), "#!/bin/sh\ngit count-objects -v; git fsck")
    assert found.result == "SUCCESS"


def settings_of_git(**values: str) -> dict[str, str]:
    """Variables of a job that set these, `__` for a dot."""
    named = [(name.replace("__", "."), value) for name, value in values.items()]
    variables = {"GIT_CONFIG_COUNT": str(len(named))}
    for number, (name, value) in enumerate(named):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def packs(repository: Path) -> set[str]:
    return {path.name for path in (repository / "objects" / "pack").glob("*.pack")}


def the_store(world: World) -> Path:
    """What repositories of the node borrow from."""
    (store,) = (world.place / "git").iterdir()
    return store


def test_many_fetches_do_not_leave_ever_more_packs(world: World, upstream: Upstream, tmp_path: Path) -> None:
    other = Upstream(tmp_path / "server", "lib", {"code": "0\n"})
    git(upstream.path, "submodule", "add", "--quiet", other.url, "lib")
    few = settings_of_git(fetch__unpackLimit="1", gc__autoPackLimit="2", protocol__file__allow="always")
    for number in range(5):
        other.commit("master", {"code": f"{number + 1}\n"})
        git(upstream.path / "lib", "pull", "--quiet")
        git(upstream.path, "commit", "--quiet", "--all", "-m", f"number {number}")
        found = world.run(job("#!/bin/sh\ncat lib/code", scm=Git(submodules=True), env=few), parameters(upstream))
        assert found.result == "SUCCESS"
        assert f"{number + 1}\nFinished" in found.console
        assert "packs" not in found.console
    for repository in (found.workspace / ".git", found.workspace / ".git" / "modules" / "lib"):
        assert 1 <= len(packs(repository)) <= 2


def test_what_repositories_borrow_from_does_not_gather_packs_either(world: World, upstream: Upstream) -> None:
    few = settings_of_git(fetch__unpackLimit="1", gc__autoPackLimit="2")
    for number in range(5):
        upstream.commit("master", {"README": f"{number}\n"})
        found = world.run(job(SHOW, scm=Git(), env=few, clean_first=True), parameters(upstream))
        assert f"{number}\nREADME\n" in found.console
    assert 1 <= len(packs(the_store(world))) <= 2


def test_what_a_workspace_borrows_stays_though_no_branch_names_it_any_more(world: World, upstream: Upstream) -> None:
    few = settings_of_git(fetch__unpackLimit="1", gc__autoPackLimit="1")
    upstream.branch("topic")
    commit = upstream.commit("topic", {"README": "of the topic\n"})
    borrower = world.run(job("true", scm=Git(), env=few), parameters(upstream, "refs/heads/topic"))
    before = packs(the_store(world))
    for path in the_store(world).rglob("*.pack"):
        os.utime(path, (1e9, 1e9))  # years ago: long enough to be thrown away
    upstream.commit("master", {"README": "second\n"})
    git(upstream.path, "branch", "--force", "topic", "master")
    assert world.run(job("true", scm=Git(), env=few, name="another"), parameters(upstream)).result == "SUCCESS"
    assert before.isdisjoint(packs(the_store(world))), "they were put together"
    assert git(borrower.workspace, "show", f"{commit}:README") == "of the topic"


def test_a_build_does_not_mind_if_packs_cannot_be_put_together(world: World, upstream: Upstream) -> None:
    found = world.run(job(SHOW, scm=Git(), env=settings_of_git(gc__auto="nonsense")), parameters(upstream))
    assert found.result == "SUCCESS"
    assert found.console.count("were not put together: fatal: bad numeric config value 'nonsense'") == 2


@pytest.mark.parametrize(
    "change",
    [
        {"ZUUL_REF": "--upload-pack=touch hacked"},
        {"ZUUL_REF": "master:refs/heads/x"},
        {"ZUUL_REF": ""},
        {"ZUUL_REF": "a b"},
        {"ZUUL_REF": "refs/*"},
        {"ZUUL_COMMIT": "--orphan"},
        {"ZUUL_COMMIT": "master"},
        {"ZUUL_COMMIT": "HEAD~1"},
        {"ZUUL_URL": "--upload-pack=touch hacked;"},
        {"ZUUL_URL": "a\nb"},
    ],
)
def test_what_looks_like_an_option_is_refused(change: Mapping[str, str]) -> None:
    texts = {"ZUUL_URL": "http://h", "ZUUL_PROJECT": "p", "ZUUL_REF": "master", "ZUUL_COMMIT": "0" * 40}
    source(Git(), texts)
    with pytest.raises(RequestError):
        source(Git(), {**texts, **change})


def test_no_program_comes_of_a_url(world: World, upstream: Upstream, tmp_path: Path) -> None:
    hacked = tmp_path / "hacked"
    sent = {"ZUUL_URL": f"ext::touch {hacked} #", "ZUUL_PROJECT": "p", "ZUUL_REF": "master"}
    assert ran(world, sent).result is None
    sent = {**parameters(upstream), "GIT_SSH_COMMAND": f"touch {hacked}", "GIT_EXTERNAL_DIFF": f"touch {hacked}"}
    sent |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": f"touch {hacked}"}
    assert ran(world, sent, "#!/bin/sh\ntrue").result == "SUCCESS"
    assert not hacked.exists()


def test_hooks_that_a_build_has_left_are_not_run(world: World, upstream: Upstream) -> None:
    leave = "#!/bin/sh\nprintf '#!/bin/sh\\ntouch hacked' > .git/hooks/post-checkout; chmod +x .git/hooks/post-checkout"
    ran(world, parameters(upstream), leave, clean=False)
    found = ran(world, parameters(upstream), "#!/bin/sh\nls", clean=False)
    assert "hacked" not in found.console


def test_builds_without_sources_begin_in_an_empty_workspace(world: World) -> None:
    found = world.run(job("#!/bin/sh\nls -A > listed; wc -l < listed; pwd"))
    assert found.console.startswith("1\n")
    assert wait_text(found.workspace / "listed") == "listed\n"
