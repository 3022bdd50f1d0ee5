"""Lines and rows as Gerrit 2.4 to 3.10 print them, and as no Gerrit would."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.record import ParseError, load
from zuul_launcher.model.change import Account, Approval, SubmitRecord

COMMENT_3_10 = (
    b'{"author":{"name":"Ann","email":"ann@example.com","username":"ann"},"approvals":[{"type":"Verified","description":'
    b'"Verified","value":"0"},{"type":"Code-Review","description":"Code-Review","value":"2","oldValue":"0"}],"comment":'
    b'"Patch Set 1: Code-Review+2\\n\\nfine \\"really\\"","patchSet":{"number":1,"revision":"cf50ea95bfa949efc00d49138e'
    b'0ac34f858574ed","parents":["fc9a3ec84548073f2f44604d33247cd672d5faec"],"ref":"refs/changes/01/1/1","createdOn":179'
    b'5297290,"kind":"REWORK"},"change":{"project":"p1","branch":"master","id":"I47e76258b4d1354c75cbbb4fad4db18692f5459'
    b'0","number":1,"subject":"Add a","url":"http://review/c/p1/+/1","status":"NEW"},"project":"p1","refName":"refs/head'
    b's/master","changeKey":{"id":"I47e76258b4d1354c75cbbb4fad4db18692f54590"},"type":"comment-added","eventCreatedOn":1'
    b"795297291}"
)
COMMENT_2_4 = (
    b'{"type":"comment-added","change":{"project":"tools/gerrit","branch":"master","id":"Iabcd","number":"184","subject"'
    b':"s","owner":{"name":"O","email":"o@example.com"},"url":"http://review/184"},"patchSet":{"number":"3","revision":"'
    b'abc","ref":"refs/changes/84/184/3","uploader":{"name":"O"}},"author":{"name":"J\xc3\xb6","email":"jo@example.com"'
    b'},"approvals":[{"type":"CRVW","description":"Code Review","value":"-1"},{"type":"APRV","value":"1"}],"comment":"n'
    b'o"}'
)
REVISION, ZEROS = "a" * 40, "0" * 40


def line(**event: object) -> bytes:
    return json.dumps(event).encode()


def test_a_comment_of_a_new_gerrit_has_text_for_numbers_and_all_its_votes() -> None:
    trigger = parse.trigger(COMMENT_3_10, "gerrit")
    assert (trigger.type, trigger.number, trigger.patchset) == ("comment-added", "1", "1")
    assert (trigger.project, trigger.branch, trigger.ref) == ("p1", "master", None)
    assert trigger.comment == 'Patch Set 1: Code-Review+2\n\nfine "really"'
    assert trigger.account == Account(name="Ann", email="ann@example.com", username="ann")
    assert trigger.approvals == (Approval(label="Verified", value=0), Approval(label="Code-Review", value=2))
    assert trigger.created_on == 1795297291


def test_a_comment_of_an_old_gerrit_names_labels_by_description_else_by_type() -> None:
    trigger = parse.trigger(COMMENT_2_4, "old")
    assert (trigger.connection, trigger.number, trigger.patchset) == ("old", "184", "3")
    assert trigger.approvals == (Approval(label="Code Review", value=-1), Approval(label="APRV", value=1))
    assert trigger.account == Account(name="Jö", email="jo@example.com")
    assert trigger.created_on == 0


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("patchset-created", "uploader"),
        ("draft-published", "uploader"),
        ("change-abandoned", "abandoner"),
        ("change-restored", "restorer"),
        ("change-merged", "submitter"),
        ("merge-failed", "submitter"),
        ("comment-added", "author"),
        ("reviewer-added", "reviewer"),
    ],
)
def test_the_account_of_an_event_is_who_caused_it(kind: str, field: str) -> None:
    others = {name: {"username": "other"} for name in parse.ACCOUNT_FIELDS.values()}
    about = {"change": {"project": "p", "branch": "b", "number": 7}, "patchSet": {"number": 2}}
    event = line(**{**others, field: {"username": "who"}}, **about, type=kind)
    assert parse.trigger(event, "gerrit").account == Account(username="who")


@pytest.mark.parametrize("spelled", ["master", "refs/heads/master"])
@pytest.mark.parametrize("strip", [False, True])
def test_the_ref_is_as_the_event_spells_it_unless_it_is_to_be_stripped(spelled: str, strip: bool) -> None:
    update = {"project": "p", "refName": spelled, "oldRev": ZEROS, "newRev": REVISION}
    trigger = parse.trigger(line(type="ref-updated", refUpdate=update), "gerrit", strip_branch_ref=strip)
    assert trigger.ref == ("master" if strip else spelled)
    assert (trigger.project, trigger.branch, trigger.number) == ("p", None, None)
    ref = parse.ref(trigger, "http://review")
    assert ref is not None
    assert ref.url == f"http://review/gitweb?p=p.git;a=commitdiff;h={REVISION}"
    assert (ref.oldrev, ref.newrev) == (ZEROS, REVISION)


def test_an_event_of_an_unknown_type_is_read_for_the_counters() -> None:
    trigger = parse.trigger(line(type="project-created", projectName="p"), "gerrit")
    assert (trigger.type, trigger.number, trigger.ref) == ("project-created", None, None)
    assert parse.ref(trigger, "http://review") is None


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b'{"type": "comment-added"',
        b"[1]",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{}",
        b'{"type": ""}',
        b'{"type": ["comment-added"]}',
        line(type="comment-added"),
        line(type="patchset-created", change={"project": "p", "branch": "b", "number": 7}),
        line(type="patchset-created", change=[7], patchSet="2"),
        line(
            type="patchset-created", change={"project": "p", "branch": "b", "number": "7; rm"}, patchSet={"number": 1}
        ),
        line(type="patchset-created", change={"project": "p", "branch": "b", "number": -7}, patchSet={"number": 1}),
        line(type="ref-updated", refUpdate={"project": "p", "refName": "r", "oldRev": ZEROS}),
        b'{"type":"patchset-created","change":{"project":"p","branch":"b","number":%b},"patchSet":{"number":1}}'
        % (b"9" * 9999),
    ],
)
def test_what_can_not_be_used_is_refused_with_a_reason(bad: bytes) -> None:
    with pytest.raises(ParseError):
        parse.trigger(bad, "gerrit")


def test_bytes_that_no_database_takes_are_replaced() -> None:
    event = b'{"type":"comment-added","change":{"project":"p","branch":"b","number":7},"patchSet":{"number":1},'
    event += b'"comment":"a\\u0000b\\ud800c\xff"}'
    trigger = parse.trigger(event, "gerrit")
    assert trigger.comment == "a\ufffdb\ufffdc\ufffd"


def test_a_vote_that_is_no_number_is_left_out() -> None:
    approvals = [
        {"type": "A", "value": "x"},
        {"type": "B", "value": 2},
        {"value": "1"},
        {"type": "C", "value": "9" * 99},
        5,
    ]
    about = {"change": {"project": "p", "branch": "b", "number": 7}, "patchSet": {"number": 1}}
    trigger = parse.trigger(line(type="comment-added", approvals=approvals, **about), "gerrit")
    assert trigger.approvals == (Approval(label="B", value=2),)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        trigger = parse.trigger(data, "gerrit")
    except ParseError:
        return
    assert trigger.type


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["type", "change", "patchSet", "refUpdate", "approvals", "comment", "author", "eventCreatedOn"]
        ),
        JSON | st.just("comment-added") | st.just({"number": 1, "project": "p", "branch": "b"}),
    )
)
def test_any_object_is_read_or_refused(event: dict[str, object]) -> None:
    try:
        trigger = parse.trigger(json.dumps(event).encode(), "gerrit")
    except ParseError:
        return
    assert trigger.type == str(trigger.type) != ""


def record(**more: object) -> dict[str, object]:
    patch_sets = [
        {"number": 1, "ref": "refs/changes/07/7/1", "files": [{"file": "/COMMIT_MSG"}, {"file": "old"}]},
        {
            "number": 2,
            "ref": "refs/changes/07/7/2",
            "files": [{"file": "/COMMIT_MSG"}, {"file": "new"}],
            "approvals": [
                {"type": "CRVW", "description": "Code-Review", "value": "2", "grantedOn": 5, "by": {"username": "a"}}
            ],
        },
    ]
    whole = {
        "project": "p", "branch": "b", "number": 7, "id": "I" + "a" * 40, "owner": {"username": "o"}, "open": True,
        "url": "http://review/7", "status": "NEW", "patchSets": patch_sets, "currentPatchSet": {"number": 2},
        "submitRecords": [{"status": "NOT_READY", "labels": [{"label": "Verified", "status": "NEED"}]}],
    }  # fmt: skip
    return load(json.dumps({**whole, **more}).encode())


def test_a_change_has_files_of_its_patch_set_and_approvals_of_the_current_one() -> None:
    approval = Approval(label="Code-Review", value=2, by=Account(username="a"), granted_on=5)
    old, new = parse.change(record(), "gerrit", "1"), parse.change(record(), "gerrit")
    assert (old.id, old.ref, old.files, old.current) == ("7,1", "refs/changes/07/7/1", ("/COMMIT_MSG", "old"), False)
    assert (new.id, new.ref, new.files, new.current) == ("7,2", "refs/changes/07/7/2", ("/COMMIT_MSG", "new"), True)
    assert old.approvals == new.approvals == (approval,)
    assert new.submit_records == (SubmitRecord(status="NOT_READY", labels={"Verified": "NEED"}),)
    assert (new.owner, new.url, new.open, new.merged) == (Account(username="o"), "http://review/7", True, False)


def test_patch_set_10_is_newer_than_9() -> None:
    patch_sets = [{"number": number, "ref": f"refs/changes/07/7/{number}"} for number in (10, 9)]
    assert parse.change(record(patchSets=patch_sets, currentPatchSet={}), "gerrit").patchset == "10"


def test_a_merged_change_is_closed_also_when_gerrit_does_not_say() -> None:
    change = parse.change(record(status="MERGED", open=None), "gerrit")
    assert change.merged
    assert not change.open


def test_a_patch_set_that_is_not_there_is_refused() -> None:
    with pytest.raises(ParseError, match="has no patch set 3"):
        parse.change(record(), "gerrit", "3")


def test_links_tell_the_patch_set_by_their_ref() -> None:
    links = [{"number": 5, "ref": "refs/changes/05/5/3"}, {"number": 6, "ref": "refs/changes/06/6/1"}, {"ref": "x"}]
    assert parse.git_parent(record(dependsOn=links)) == ("5", "3")
    assert parse.git_children(record(neededBy=links)) == (("5", "3"), ("6", "1"))
    assert parse.git_parent(record()) is None


ONE, TWO = "I" + "1" * 40, "I" + "2" * 40


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (f"s\n\nDepends-On: {ONE}\n", (ONE,)),
        (f"s\n\ndepends-on: {ONE}  \nDEPENDS-ON: {TWO}\r\nDepends-On: {ONE}", (ONE, TWO)),
        (f"Depends-On:  {ONE}", ()),
        (f"Depends-On:{ONE}", ()),
        (f" Depends-On: {ONE}", ()),
        (f"see Depends-On: {ONE}", ()),
        (f"Depends-On: {ONE}1", ()),
        (f"Depends-On: {ONE} x", ()),
        (f"Depends-On: {ONE[:-1]}", ()),
        (f"Depends-On: {ONE[:-1]}g", ()),
    ],
)
def test_a_footer_stands_on_its_own_line_with_one_space(message: str, found: tuple[str, ...]) -> None:
    assert parse.footers(message) == found
