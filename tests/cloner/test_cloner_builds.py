"""What builds find in their workspaces: changes, upgrades, timers and updated refs, on a real merger's repositories."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from support.cloner_world import World
from support.git_world import git
from support.waiting import wait_until

from zuul_launcher.web.git import git_application


def test_each_build_of_a_queue_has_its_change_and_all_ahead_of_it(world: World) -> None:
    one, two = world.project("org/one"), world.project("org/two")
    a, b = one.change("master", {"A": "A"}, "A"), two.change("master", {"B": "B"}, "B")
    tip = two.commit("master", {"tip": "t"}, "tip")
    first, second = world.build(a), world.build(a, b)

    world.clone(world.base, "org/one", "org/two", variables=first)
    assert world.subjects("org/one") == ["A", "initial commit"]
    assert world.head("org/two") == tip
    assert world.origin("org/one") == f"{world.zuul_url}/org/one"
    assert world.origin("org/two") == f"{world.base}/org/two"

    world.clone(world.base, "org/one", "org/two", variables=second)
    assert world.subjects("org/one") == ["A", "initial commit"]
    assert world.subjects("org/two") == ["B", "initial commit", "tip"]
    assert (world.workspace / "org/two/B").read_text() == "B"
    assert world.origin("org/one") == f"{world.base}/org/one"
    assert world.origin("org/two") == f"{world.zuul_url}/org/two"


def test_a_project_without_the_branch_has_the_changes_for_its_master_or_its_tip(world: World) -> None:
    one, two, three, four = (world.project(name) for name in ("one", "two", "three", "four"))
    for project in (one, three):
        project.branch("stable")
        project.commit("stable", {"stable": "s"}, "stable")
    a = one.change("stable", {"A": "A"}, "A")
    b = two.change("master", {"B": "B"}, "B")
    three.commit("master", {"later": "l"}, "later")
    world.clone(world.base, "one", "two", "three", "four", variables=world.build(b, a))
    assert world.subjects("one") == ["A", "initial commit", "stable"]
    assert world.subjects("two") == ["B", "initial commit"]
    assert world.subjects("three") == ["initial commit", "stable"]
    assert world.head("four") == git(four.path, "rev-parse", "master")


def test_an_upgrade_job_has_both_sides_of_the_same_refs(world: World) -> None:
    one, two = world.project("one"), world.project("two")
    for project in (one, two):
        project.branch("old")
        project.commit("old", {"old": "o"}, "old")
    a, b = one.change("old", {"A": "A"}, "A"), one.change("master", {"B": "B"}, "B")
    c = two.change("master", {"C": "C"}, "C")
    variables = world.build(a, b, c)
    world.clone("--branch", "old", world.base, "one", "two", variables=variables)
    assert world.subjects("one") == ["A", "initial commit", "old"]
    assert world.subjects("two") == ["initial commit", "old"]
    world.clone("--branch", "master", world.base, "one", "two", variables=variables)
    assert world.subjects("one") == ["B", "initial commit"]
    assert world.subjects("two") == ["C", "initial commit"]


def test_the_branch_of_a_project_beats_all_others(world: World) -> None:
    for name in ("one", "two", "three"):
        project = world.project(name)
        for branch in ("a", "b"):
            project.branch(branch)
            project.commit(branch, {branch: branch}, branch)
    options = ["--branch", "a", "--project-branch", "two=b", "--project-branch", "three=master"]
    variables = world.build(world.projects["one"].change("a", {"A": "A"}, "A"))
    world.clone(*options, world.base, "one", "two", "three", variables=variables)
    assert world.subjects("one") == ["A", "a", "initial commit"]
    assert world.subjects("two") == ["b", "initial commit"]
    assert world.subjects("three") == ["initial commit"]


def test_a_timer_job_has_the_newest_tip_of_its_branch_or_of_master(world: World) -> None:
    one, two = world.project("one"), world.project("two")
    one.branch("stable")
    variables = {"ZUUL_PROJECT": "one", "ZUUL_URL": world.zuul_url}
    for number in range(2):
        on_master = [project.commit("master", {"m": str(number)}) for project in (one, two)]
        on_stable = one.commit("stable", {"s": str(number)})
        world.update("one")
        world.clone(world.base, "one", "two", variables=variables)
        assert [world.head("one"), world.head("two")] == on_master
        world.clone("--branch", "stable", world.base, "one", "two", variables=variables)
        assert [world.head("one"), world.head("two")] == [on_stable, on_master[1]]


def test_a_job_for_an_updated_ref_has_that_revision_and_others_are_at_master(world: World) -> None:
    one, two = world.project("one"), world.project("two")
    one.branch("stable")
    two.branch("stable")
    newrev = one.commit("stable", {"s": "1"})
    one.commit("stable", {"s": "2"})
    two.commit("stable", {"s": "2"})
    world.update("one")
    variables = {"ZUUL_PROJECT": "one", "ZUUL_URL": world.zuul_url, "ZUUL_REF": "refs/heads/stable"}
    variables["ZUUL_NEWREV"] = newrev
    world.clone(world.base, "one", "two", variables=variables)
    assert world.head("one") == newrev
    assert world.head("two") == git(two.path, "rev-parse", "master")


def test_a_tag_is_an_updated_ref_too(world: World) -> None:
    one = world.project("one")
    tagged = git(one.path, "rev-parse", "master")
    git(one.path, "tag", "-m", "v1", "v1")
    one.commit("master", {"later": "l"})
    world.update("one")
    variables = {"ZUUL_PROJECT": "one", "ZUUL_URL": world.zuul_url, "ZUUL_REF": "refs/tags/v1"}
    world.clone(world.base, "one", variables={**variables, "ZUUL_NEWREV": git(one.path, "rev-parse", "v1")})
    assert world.head("one") == tagged


def test_a_ref_that_is_neither_branch_nor_tag_is_fetched_for_its_revision(world: World) -> None:
    one = world.project("one")
    newrev = git(one.path, "commit-tree", "-m", "config", "master^{tree}")
    git(one.path, "update-ref", "refs/meta/config", newrev)
    variables = {"ZUUL_PROJECT": "one", "ZUUL_URL": world.base, "ZUUL_REF": "refs/meta/config"}
    world.clone(world.base, "one", variables={**variables, "ZUUL_NEWREV": newrev})
    assert world.head("one") == newrev


@pytest.mark.parametrize("newrev", ["0" * 40, "1" * 40])
def test_a_revision_that_cannot_be_had_is_final(world: World, newrev: str) -> None:
    world.project("one")
    world.update("one")
    variables = {"ZUUL_PROJECT": "one", "ZUUL_URL": world.zuul_url, "ZUUL_REF": "refs/heads/gone"}
    said = world.clone(world.base, "one", variables={**variables, "ZUUL_NEWREV": newrev}, fails=True)
    assert f"Failed to checkout project 'one' at revision '{newrev}'" in said


def test_without_branch_and_master_it_is_said_what_is_missing(world: World) -> None:
    one = world.project("one")
    git(one.path, "branch", "--move", "master", "main")
    said = world.clone("--branch", "stable", world.base, "one", fails=True)
    assert f"Failed to checkout project 'one': {world.base}/one has neither branch 'stable' nor 'master'" in said
    assert "has no branch 'master'" in world.clone(world.base, "one", fails=True)
    world.clone("--branch", "main", world.base, "one")
    assert world.subjects("one") == ["initial commit"]


def test_options_beat_variables(world: World) -> None:
    a = world.project("one").change("master", {"A": "A"}, "A")
    b = world.project("two").change("master", {"B": "B"}, "B")
    first, second = world.build(a), world.build(b)
    options = [word for name, value in second.items() for word in (f"--{name.lower().replace('_', '-')}", value)]
    world.clone(*options, world.base, "one", "two", variables=first)
    assert world.subjects("one") == ["initial commit"]
    assert world.subjects("two") == ["B", "initial commit"]


def test_empty_variables_are_as_good_as_none(world: World) -> None:
    world.project("one")
    names = ("BRANCH", "REF", "URL", "PROJECT", "NEWREV", "CACHE_DIR")
    world.clone(world.base, "one", variables={f"ZUUL_{name}": "" for name in names})
    assert world.subjects("one") == ["initial commit"]


@pytest.fixture
def served(world: World) -> Iterator[str]:
    """The merger's repositories over HTTP."""
    application = Starlette(routes=[Mount("/p", git_application(world.merger.settings.git_dir, deadline=60))])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/p"
        server.should_exit = True
        thread.join(60)


def test_a_merger_that_serves_http_need_not_have_all_projects(world: World, served: str) -> None:
    one, two = world.project("org/one"), world.project("org/two")
    variables = {**world.build(one.change("master", {"A": "A"}, "A")), "ZUUL_URL": served}
    world.clone(world.base, "org/one", "org/two", variables=variables)
    assert world.subjects("org/one") == ["A", "initial commit"]
    assert world.head("org/two") == git(two.path, "rev-parse", "master")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/p", "git://127.0.0.1:9/p"])
def test_a_merger_that_is_away_does_not_make_a_job_test_something_else(world: World, url: str) -> None:
    one, two = world.project("one"), world.project("two")
    variables = {**world.build(one.change("master", {"A": "A"}, "A")), "ZUUL_URL": url}
    said = world.clone(world.base, "two", variables=variables, fails=True)
    assert f"cannot fetch {variables['ZUUL_REF']} from {url}/two" in said
    assert not (world.workspace / "two" / "README").exists()
    assert two.path.exists()
