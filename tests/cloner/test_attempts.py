"""Which attempts are made for a project, in which order, and where they fetch from."""

from dataclasses import replace

from zuul_launcher.cloner.attempts import Ref, Request, Revision, Tip, attempts, origin_url

BASE, ZUUL = "https://review.example.org", "http://merger.example.org/p"
CHANGE = Request(BASE, zuul_url=ZUUL, zuul_project="one", zuul_branch="stable", zuul_ref="refs/zuul/stable/Z1")
UPDATE = Request(BASE, zuul_url=ZUUL, zuul_project="one", zuul_ref="refs/heads/main", zuul_newrev="a" * 40)


def test_only_the_zuul_project_has_the_merger_as_origin_and_only_if_its_url_is_known() -> None:
    assert origin_url(CHANGE, "one") == f"{ZUUL}/one"
    assert origin_url(CHANGE, "two") == f"{BASE}/two"
    assert origin_url(replace(CHANGE, zuul_url=""), "one") == f"{BASE}/one"
    assert origin_url(replace(CHANGE, base_url=f"{BASE}/"), "two") == f"{BASE}/two"


def test_the_zuul_ref_comes_before_the_tip_of_a_branch_that_is_there() -> None:
    assert attempts(CHANGE, "two", {"stable"}) == [Ref(f"{ZUUL}/two", "refs/zuul/stable/Z1"), Tip("stable")]


def test_without_the_branch_the_ref_of_master_is_tried_too_and_then_its_tip() -> None:
    assert attempts(CHANGE, "two", {"master"}) == [
        Ref(f"{ZUUL}/two", "refs/zuul/stable/Z1"),
        Ref(f"{ZUUL}/two", "refs/zuul/master/Z1"),
        Tip("master"),
    ]


def test_a_branch_of_the_project_beats_the_branch_of_all_which_beats_the_zuul_branch() -> None:
    request = replace(CHANGE, branch="new", project_branches={"two": "old"})
    branches = {"new", "old", "stable"}
    assert attempts(request, "one", branches) == [Ref(f"{ZUUL}/one", "refs/zuul/new/Z1"), Tip("new")]
    assert attempts(request, "two", branches) == [Ref(f"{ZUUL}/two", "refs/zuul/old/Z1"), Tip("old")]


def test_only_the_branch_part_of_the_ref_is_replaced_and_it_is_no_pattern() -> None:
    for branch in ("zuul", "refs", "Z", ".*", "s", "a/b", "Z1"):
        request = replace(CHANGE, zuul_branch=branch, zuul_ref=f"refs/zuul/{branch}/Z1", branch=r"new\1")
        assert attempts(request, "two", {r"new\1"})[0] == Ref(f"{ZUUL}/two", r"refs/zuul/new\1/Z1")
    other = replace(CHANGE, zuul_branch="st.ble", branch="new")
    assert attempts(other, "two", {"new"})[0] == Ref(f"{ZUUL}/two", "refs/zuul/stable/Z1")


def test_a_ref_that_is_not_of_zuul_is_fetched_where_the_project_is_from() -> None:
    request = replace(CHANGE, zuul_ref="refs/changes/01/1/1")
    assert attempts(request, "one", {"stable"})[0] == Ref(f"{ZUUL}/one", "refs/changes/01/1/1")
    assert attempts(request, "two", {"stable"})[0] == Ref(f"{BASE}/two", "refs/changes/01/1/1")


def test_a_revision_of_the_zuul_project_is_the_only_attempt_and_means_nothing_to_others() -> None:
    assert attempts(UPDATE, "one", {"main", "master"}) == [Revision(f"{ZUUL}/one", "refs/heads/main", "a" * 40)]
    assert attempts(UPDATE, "two", {"main", "master"}) == [Tip("master")]


def test_without_a_zuul_branch_the_tip_of_the_branch_counts_or_that_of_master() -> None:
    timer = Request(BASE, zuul_url=ZUUL, zuul_project="one", branch="stable")
    assert attempts(timer, "one", {"stable"}) == [Tip("stable")]
    assert attempts(timer, "two", {"master"}) == [Tip("master")]
    assert attempts(replace(timer, branch=""), "one", {"stable"}) == [Tip("master")]
    assert attempts(replace(UPDATE, branch="stable"), "two", {"stable"}) == [Tip("stable")]
