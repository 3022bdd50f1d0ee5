"""Behaviour 10.12 and 2.3-2.4: what events and changes must be like to enter. Each rule of votes is tried as a
requirement of the pipeline and as one of the trigger."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from support import gate_layouts, states
from support.player import Player

from zuul_launcher.gate.match import accepts, can_merge, requirement_missing
from zuul_launcher.model.change import ZERO_REVISION, Account, Approval, SubmitRecord
from zuul_launcher.model.events import Trigger
from zuul_launcher.model.layout import ApprovalRule, GerritFilter, Layout, Pipeline, Reporter, Requirement

HOUR = 3600
NOW = 1_000_000.0
JENKINS = Account(name="Jenkins", username="jenkins", email="jenkins@ci.example.net")
ANN = Account(name="Ann", username="ann", email="ann@example.net")


def vote(label: str = "Verified", value: int = 1, by: Account = JENKINS, age: int = 0) -> Approval:
    return Approval(label=label, value=value, by=by, granted_on=int(NOW) - age)


Demands = Callable[[tuple[ApprovalRule, ...], tuple[ApprovalRule, ...], tuple[Approval, ...]], bool]


def of_pipeline(
    require: tuple[ApprovalRule, ...], reject: tuple[ApprovalRule, ...], votes: tuple[Approval, ...]
) -> bool:
    pipeline = Pipeline(name="check", kind="independent", require=Requirement(approvals=require), reject=reject)
    return requirement_missing(pipeline, states.make_change(approvals=votes), NOW) is None


def of_trigger(
    require: tuple[ApprovalRule, ...], reject: tuple[ApprovalRule, ...], votes: tuple[Approval, ...]
) -> bool:
    condition = GerritFilter(connection="gerrit", events=("comment-added",), require=require, reject=reject)
    trigger = Trigger(connection="gerrit", type="comment-added", project="lib/alpha")
    return accepts(condition, trigger, states.make_change(approvals=votes), NOW)


@pytest.fixture(params=[of_pipeline, of_trigger])
def fits(request: pytest.FixtureRequest) -> Demands:
    return request.param  # type: ignore[no-any-return]


def test_a_vote_must_be_new_enough(fits: Demands) -> None:
    rule = ApprovalRule(username="jenkins", newer_than=48 * HOUR)
    assert not fits((rule,), (), ())
    assert not fits((rule,), (), (vote(age=72 * HOUR),))
    assert fits((rule,), (), (vote(age=48 * HOUR),))
    assert fits((rule,), (), (vote(),))


def test_a_vote_must_be_old_enough(fits: Demands) -> None:
    rule = ApprovalRule(username="jenkins", older_than=48 * HOUR)
    assert not fits((rule,), (), ())
    assert not fits((rule,), (), (vote(),))
    assert not fits((rule,), (), (vote(age=48 * HOUR),))
    assert fits((rule,), (), (vote(age=72 * HOUR),))


def test_a_vote_must_be_by_the_user(fits: Demands) -> None:
    rule = ApprovalRule(username="^jenkins$")
    assert not fits((rule,), (), (vote(by=ANN),))
    assert fits((rule,), (), (vote(by=ANN), vote()))


def test_a_user_name_is_searched_for(fits: Demands) -> None:
    assert fits((ApprovalRule(username="enk"),), (), (vote(),))


def test_a_vote_must_be_by_the_address(fits: Demands) -> None:
    rule = ApprovalRule(email="@ci\\.")
    assert not fits((rule,), (), (vote(by=ANN),))
    assert fits((rule,), (), (vote(),))


def test_a_vote_must_have_the_value(fits: Demands) -> None:
    rule = ApprovalRule(username="jenkins", labels={"verified": (1,)})
    assert not fits((rule,), (), ())
    assert not fits((rule,), (), (vote(value=-1),))
    assert not fits((rule,), (), (vote(value=2),))
    assert fits((rule,), (), (vote(value=1),))


def test_a_vote_may_have_one_of_several_values(fits: Demands) -> None:
    rule = ApprovalRule(username="jenkins", labels={"verified": (1, 2)})
    assert [fits((rule,), (), (vote(value=value),)) for value in (-2, -1, 1, 2)] == [False, False, True, True]
    assert not fits((rule,), (), (vote(value=-1), vote("Code-Review", 2, by=ANN)))


def test_one_vote_must_fulfil_all_of_a_rule(fits: Demands) -> None:
    rule = ApprovalRule(username="jenkins", labels={"verified": (1,)})
    assert not fits((rule,), (), (vote(value=-1), vote(value=1, by=ANN)))


def test_all_rules_must_be_met_though_by_different_votes(fits: Demands) -> None:
    rules = (ApprovalRule(username="jenkins"), ApprovalRule(labels={"code-review": (2,)}))
    assert not fits(rules, (), (vote(),))
    assert fits(rules, (), (vote(), vote("Code-Review", 2, by=ANN)))


def test_labels_are_compared_without_case_and_with_hyphens(fits: Demands) -> None:
    rule = ApprovalRule(labels={"code-review": (2,)})
    assert fits((rule,), (), (vote("Code Review", 2),))
    assert fits((rule,), (), (vote("CODE-REVIEW", 2),))


def test_a_vote_by_the_rejected_user_blocks_whatever_others_say(fits: Demands) -> None:
    rule = ApprovalRule(username="jenkins")
    assert fits((), (rule,), (vote(by=ANN),))
    assert not fits((), (rule,), (vote(), vote("Approved", 1, by=ANN)))


def test_a_change_without_votes_passes_a_reject_list(fits: Demands) -> None:
    """In v2 it does not."""
    assert fits((), (ApprovalRule(username="jenkins"),), ())


def test_a_negative_vote_of_anyone_blocks_until_it_turns(fits: Demands) -> None:
    require = (ApprovalRule(username="jenkins", labels={"verified": (1, 2)}),)
    reject = (ApprovalRule(labels={"verified": (-1, -2)}),)
    assert fits(require, reject, (vote(),))
    assert not fits(require, reject, (vote(), vote(value=-1, by=ANN)))
    assert fits(require, reject, (vote(), vote(value=1, by=ANN)))


def checking(require: Requirement) -> Layout:
    layout = gate_layouts.scenario_layout()
    triggers = (gate_layouts.trigger("comment-added"),)
    return gate_layouts.with_pipeline(layout, "check", triggers=triggers, require=require)


def test_a_comment_on_an_old_patch_set_can_be_left_out() -> None:
    play = Player(checking(Requirement(current_patchset=True)))
    old = play.upload("Q")
    new = play.world.update(old.number, patchset=2)
    event = play.world.tell(new.number, "comment-added", play.tick())
    facts = (replace(event.facts[0], patchset="1", current=False), *event.facts)

    play.send(replace(event, subject=old.key, facts=facts))
    assert play.queued("check") == []
    assert play.ignored() == ["it is not the current patch set"]
    play.say("comment-added", new)
    assert play.queued("check") == [["1,2"]]


@pytest.mark.parametrize("require", [Requirement(open=True), Requirement(statuses=("NEW",))])
def test_a_merged_change_can_be_left_out(require: Requirement) -> None:
    play = Player(checking(require))
    merged, new = play.upload("Q", status="MERGED"), play.upload("Q")
    play.say("comment-added", merged)
    play.say("comment-added", new)
    assert play.queued("check") == [["2,1"]]


def test_an_open_change_can_be_left_out() -> None:
    play = Player(checking(Requirement(open=False)))
    merged, new = play.upload("Q", status="MERGED"), play.upload("Q")
    play.say("comment-added", merged)
    play.say("comment-added", new)
    assert play.queued("check") == [["1,1"]]


def test_requirements_are_asked_of_those_pulled_in_by_a_gate_too() -> None:
    rule = ApprovalRule(labels={"approved": (1,)})
    play = Player(gate_layouts.scenario_layout(require=Requirement(approvals=(rule,))))
    needed = play.upload("Q", approved=True)
    yes = (Approval(label="Approved", value=1),)
    change = play.upload("Q", depends=(needed.id,), votes=yes)

    play.approve(change)
    assert play.ignored() == ["it needs 1,1: a required approval is missing"]
    play.world.update(needed.number, votes=yes)
    play.approve(change)
    assert play.queued() == [["1,1", "2,1"]]


def test_requirements_are_not_asked_of_what_a_check_only_needs() -> None:
    rule = ApprovalRule(labels={"approved": (1,)})
    play = Player(checking(Requirement(approvals=(rule,))))
    needed = play.upload("Q")
    play.say("comment-added", play.upload("Q", depends=(needed.id,), votes=(Approval(label="Approved", value=1),)))
    assert play.queued("check") == [["(1,1)", "2,1"]]


def test_a_ref_has_nothing_that_could_be_required() -> None:
    pipeline = Pipeline(name="post", kind="independent", require=Requirement(open=True, statuses=("NEW",)))
    assert requirement_missing(pipeline, states.make_ref(), NOW) is None


# Whether Gerrit would submit (10.1, line 23)

GATE = Pipeline(name="gate", kind="dependent", success=(Reporter(connection="gerrit", options={"verified": 2}),))


@pytest.mark.parametrize(
    ("labels", "yes"),
    [
        ({"Verified": "NEED", "Code-Review": "NEED", "Approved": "NEED"}, False),
        ({"Verified": "NEED", "Code-Review": "OK", "Approved": "NEED"}, False),
        ({"Verified": "NEED", "Code-Review": "OK", "Approved": "OK"}, True),
        ({"VERIFIED": "REJECT", "Code-Review": "OK"}, True),
        ({"Verified": "IMPOSSIBLE"}, False),
        ({"Verified": "OK", "Code-Review": "REJECT"}, False),
        ({"Other": "MAY"}, True),
    ],
)
def test_only_labels_that_the_gate_sets_may_be_missing(labels: dict[str, str], yes: bool) -> None:
    """Label names are compared as Gerrit and people write them; v2.6 compared exactly."""
    change = states.make_change(submit_records=(SubmitRecord(status="NOT_READY", labels=labels),))
    assert can_merge(GATE, change) is yes


@pytest.mark.parametrize(
    ("statuses", "yes"),
    [
        (("OK",), True),
        (("RULE_ERROR",), False),
        (("CLOSED",), False),
        (("OK", "RULE_ERROR"), True),
        (("NOT_READY", "RULE_ERROR"), False),
        (("NOT_READY", "OK"), True),
        ((), False),
    ],
)
def test_submit_records_are_looked_at_in_order(statuses: tuple[str, ...], yes: bool) -> None:
    records = tuple(SubmitRecord(status=status, labels={"Verified": "NEED"}) for status in statuses)
    assert can_merge(GATE, states.make_change(submit_records=records)) is yes


def test_a_closed_change_can_not_be_submitted() -> None:
    record = SubmitRecord(status="OK", labels={})
    assert not can_merge(GATE, states.make_change(submit_records=(record,), open=False))


# Conditions on the event


def hears(condition: GerritFilter, **said: object) -> bool:
    values: dict[str, object] = {"connection": "gerrit", "type": "comment-added", "project": "lib/alpha"} | said
    return accepts(condition, Trigger(**values), states.make_change(), NOW)  # type: ignore[arg-type]


def condition(**fields: object) -> GerritFilter:
    values: dict[str, object] = {"connection": "gerrit", "events": ("comment-added",)} | fields
    return GerritFilter(**values)  # type: ignore[arg-type]


def test_the_type_and_the_connection_of_the_event_must_fit() -> None:
    """v2 does not look at the connection."""
    assert hears(condition())
    assert not hears(condition(), type="ref-updated")
    assert not hears(condition(), connection="other")


@pytest.mark.parametrize(
    ("field", "patterns", "said", "fits"),
    [
        ("branches", ("ma",), {"branch": "main"}, True),
        ("branches", ("ain",), {"branch": "main"}, False),
        ("branches", ("x", "main"), {"branch": "main"}, True),
        ("branches", ("main",), {}, False),
        ("refs", ("refs/tags/",), {"ref": "refs/tags/1"}, True),
        ("refs", ("tags/",), {"ref": "refs/tags/1"}, False),
        ("comments", ("recheck",), {"comment": "Patch Set 1:\n\nrecheck"}, True),
        ("comments", ("recheck",), {"comment": "fine"}, False),
        ("comments", ("recheck",), {}, False),
        ("emails", ("@ci",), {"account": JENKINS}, True),
        ("emails", ("@ci",), {"account": ANN}, False),
        ("emails", ("@ci",), {"account": Account(username="x")}, False),
        ("emails", ("@ci",), {}, True),
        ("usernames", ("^jen",), {"account": JENKINS}, True),
        ("usernames", ("^jen",), {"account": ANN}, False),
        ("usernames", ("^jen",), {}, True),
    ],
)
def test_each_condition_is_asked(field: str, patterns: tuple[str, ...], said: dict[str, object], fits: bool) -> None:
    """An event without an account passes conditions on it; an account without address does not."""
    assert hears(condition(**{field: patterns}), **said) is fits


def test_all_votes_of_the_condition_must_come_with_the_event() -> None:
    both = condition(approvals={"approved": 1, "code-review": 2})
    assert not hears(both, approvals=(vote("Approved", 1),))
    assert not hears(both, approvals=(vote("Approved", 1), vote("Code-Review", 1)))
    assert hears(both, approvals=(vote("Approved", 1), vote("Code Review", 2), vote("Verified", -1)))


def test_deleted_refs_are_left_out_if_so_wished() -> None:
    assert not hears(condition(), newrev=ZERO_REVISION)
    assert hears(condition(ignore_deletes=False), newrev=ZERO_REVISION)


def test_an_event_of_another_source_does_not_reach_a_pipeline() -> None:
    layout = gate_layouts.with_pipeline(gate_layouts.scenario_layout(), "check", source="other")
    play = Player(layout)
    play.propose(play.upload("Q"))
    assert play.queued("check") == []
