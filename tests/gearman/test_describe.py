"""Descriptions of builds: whole texts."""

from support.states import make_change, make_ref

from zuul_launcher.gearman.describe import DescribedBuild, describe
from zuul_launcher.model.change import Tick

UNIT = DescribedBuild(job="unit", number=88, url="http://ci.example.net/unit/88/", result="SUCCESS")
DOCS = DescribedBuild(job="docs", result="SKIPPED")


def test_a_change_is_described_with_all_its_builds() -> None:
    text = describe(
        make_change("4711", "3"),
        "gate",
        [UNIT, DOCS],
        concurrent=[make_change("4710", "2")],
        preceded_by=DescribedBuild(job="unit", number=87, url="http://ci.example.net/unit/87/"),
        result="SUCCESS",
    )
    assert text == (
        '<p>Triggered by change: <a href="https://review.example.net/4711">4711,3</a><br/>\n'
        "Branch: <b>main</b><br/>\nPipeline: <b>gate</b></p>\n"
        "<p>Other changes tested concurrently with this change:"
        '<ul><li><a href="https://review.example.net/4710">4710,2</a></li></ul></p>\n'
        "<p>All builds for this change set:"
        '<ul><li>docs: SKIPPED</li><li><a href="http://ci.example.net/unit/88/">unit #88</a>: SUCCESS</li></ul></p>\n'
        "<p>Other build sets for this change:"
        '<ul><li>Preceded by: <a href="http://ci.example.net/unit/87/">unit #87</a></li></ul></p>\n'
        "<p>Reported result: <b>SUCCESS</b></p>"
    )


def test_a_ref_is_described_with_its_revisions() -> None:
    assert describe(make_ref(), "post", []) == (
        "<p>Triggered by reference: refs/heads/main<br/>\n"
        f"Old revision: <b>{'1' * 40}</b><br/>\nNew revision: <b>{'2' * 40}</b><br/>\nPipeline: <b>post</b></p>"
    )


def test_a_timer_has_nothing_to_be_described_by() -> None:
    assert describe(Tick(connection="gerrit", project="lib/beta"), "nightly", []) == ""


def test_nothing_that_came_from_outside_becomes_markup_or_a_script() -> None:
    evil = "<script>alert(1)</script>\"'"
    text = describe(
        make_change(evil, evil, branch=evil, url=f'javascript:alert("{evil}")'),
        evil,
        [
            DescribedBuild(job=evil, number=evil, url="javascript:alert(1)", result=evil),
            DescribedBuild(job=evil, number=evil, url=f'https://x/"{evil}', result=evil),
        ],
        result=evil,
    )
    assert "<script" not in text
    assert 'href="javascript' not in text
    assert '"https://x/&quot;&lt;script' in text
