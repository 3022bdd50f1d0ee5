import msgspec
import pytest
from sqlalchemy import Engine, select

from zuul_launcher.db import history, tables
from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.db.history import BuildFilter, BuildRow, BuildsetRow
from zuul_launcher.model.queue import Worker

LAUNCHED = BuildRow(
    uuid="u1",
    item="i",
    attempt=1,
    job="unit",
    run=1,
    tries=1,
    voting=True,
    precedence="high",
    pipeline="gate",
    project="tools/clock",
    branch="main",
    change="12",
    patchset="3",
    ref="refs/changes/12/12/3",
    open=True,
    launched_at=100.0,
)


def store(engine: Engine, *rows: history.AnyRow) -> None:
    with transaction(engine) as connection:
        history.apply(connection, rows)


def changed(**fields: object) -> BuildRow:
    return msgspec.structs.replace(LAUNCHED, **fields)


def test_a_build_is_kept_from_launch_to_end(database: Engine) -> None:
    store(database, LAUNCHED)
    assert history.open_builds(database) == [LAUNCHED]
    running = changed(
        handle="H:host:1",
        manager="builder1",
        number=7,
        url="http://builder1/7",
        node_name="node-1",
        node_labels=("linux", "big"),
        worker=Worker(name="w", ips=("192.0.2.1",), extra={"free": 3, "colour": "grün"}),
        started_at=101.0,
    )
    store(database, running)
    assert history.open_builds(database) == [running]
    ended = msgspec.structs.replace(running, open=False, result="SUCCESS", ended_at=131.0)
    store(database, ended)
    assert history.open_builds(database) == []
    assert history.one_build(database, "u1") == ended
    assert history.one_build(database, "other") is None


def test_what_a_later_row_does_not_say_stays(database: Engine) -> None:
    store(database, changed(url="http://builder1/7", parameters="{}"))
    store(database, changed(open=False, result="FAILURE"))
    assert history.one_build(database, "u1") == changed(
        url="http://builder1/7", parameters="{}", open=False, result="FAILURE"
    )


@pytest.mark.parametrize("number", [7, "7", "a7", 0])
def test_a_build_number_comes_back_as_the_worker_sent_it(database: Engine, number: int | str) -> None:
    store(database, changed(number=number))
    build = history.one_build(database, "u1")
    assert build is not None
    assert build.number == number
    assert type(build.number) is type(number)


def test_what_a_worker_says_cannot_stop_the_gate(database: Engine) -> None:
    store(database, changed(url="http://\0/" + "x" * 100_000, result="\ud800", number="\0", node_labels=("\0",)))
    build = history.one_build(database, "u1")
    assert build is not None
    assert build.url == "http://\ufffd/" + "x" * 100_000
    assert (build.result, build.number, build.node_labels) == ("?", "\0", ("\0",))


def test_parameters_stay_what_they_were_first(database: Engine, token: int) -> None:
    store(database, LAUNCHED, changed(uuid="u2"), changed(uuid="u3"))
    assert history.set_parameters(database, token, "u1", '{"A": 1}') == '{"A": 1}'
    assert history.set_parameters(database, token, "u1", '{"A": 2}') == '{"A": 1}'
    history.set_parameters(database, token, "u2", '{"B": 1}')
    store(database, changed(open=False))
    assert history.parameters(database, ["u3", "u2", "u1", "u0"]) == {"u1": '{"A": 1}', "u2": '{"B": 1}'}
    assert history.parameters(database, []) == {}


def test_parameters_of_very_many_builds_are_found(database: Engine) -> None:
    uuids = [f"u{n}" for n in range(2500)]
    store(database, *(changed(uuid=uuid, parameters=uuid) for uuid in uuids))
    assert history.parameters(database, uuids) == dict(zip(uuids, uuids, strict=True))


def test_the_estimate_is_the_mean_of_the_last_ten_successes(database: Engine) -> None:
    def ended(number: int, seconds: float, result: str = "SUCCESS", job: str = "unit") -> BuildRow:
        at = 1000.0 + number
        return changed(
            uuid=f"u{number}", job=job, open=False, result=result, started_at=at - seconds, ended_at=at, run=number
        )

    assert history.estimate(database, "unit") is None
    store(database, ended(1, 500))
    assert history.estimate(database, "unit") == 500
    store(database, *(ended(number, 10.0 * number) for number in range(2, 12)))
    store(database, ended(20, 7, result="FAILURE"), ended(21, 0), ended(22, 7, job="other"), changed(uuid="open"))
    assert history.estimate(database, "unit") == pytest.approx(65)  # 20 ... 110


def ended(number: int, seconds: float, result: str = "SUCCESS") -> BuildRow:
    at = 1000.0 + number
    return changed(uuid=f"u{number}", open=False, result=result, started_at=at - seconds, ended_at=at, run=number)


def test_the_estimate_of_a_new_job_comes_with_its_first_successes(database: Engine) -> None:
    told = [history.estimate(database, "unit")]
    for number, seconds in enumerate((50, 100), 1):
        store(database, ended(number, seconds))
        told.append(history.estimate(database, "unit"))
    store(database, *(ended(number, 100) for number in range(3, 12)))
    assert [*told, history.estimate(database, "unit")] == [None, 50, 75, 100]


def test_old_and_failed_builds_do_not_change_the_estimate_but_stay_known(database: Engine) -> None:
    store(database, *(ended(number, 500) for number in range(1, 11)), *(ended(n, 20) for n in range(11, 21)))
    store(database, *(ended(number, 9000, "FAILURE") for number in range(21, 41)))
    assert history.estimate(database, "unit") == 20
    assert len(history.builds(database, BuildFilter(job="unit"), 100, 0)) == 40


def test_builds_are_found_by_what_people_know_of_them(database: Engine) -> None:
    store(
        database,
        changed(uuid="a", launched_at=1.0, open=False, result="FAILURE"),
        changed(uuid="b", launched_at=2.0, job="style"),
        changed(uuid="c", launched_at=3.0, change="13"),
        changed(uuid="d", launched_at=4.0, project="other", pipeline="check"),
    )

    def found(limit: int = 10, page: int = 0, **which: object) -> str:
        rows = history.builds(database, BuildFilter(**which), limit, page)
        return "".join(row.uuid for row in rows)

    assert found() == "dcba"
    assert found(limit=3) == "dcb"
    assert found(limit=3, page=1) == "a"
    assert found(job="style") == "b"
    assert found(change="12", project="tools/clock") == "ba"
    assert found(result="FAILURE") == "a"
    assert found(pipeline="check") == "d"
    assert found(open=False) == "a"
    assert found(branch="stable") == ""


def test_the_attempts_at_a_change_tell_its_story(database: Engine) -> None:
    first = BuildsetRow(
        item="i", attempt=1, pipeline="gate", project="p", branch="main", change="12", patchset="3", created_at=1.0
    )
    second = msgspec.structs.replace(first, attempt=2, created_at=2.0)
    newer = msgspec.structs.replace(first, item="j", patchset="4", created_at=3.0)
    other = msgspec.structs.replace(first, item="k", change="13")
    store(database, newer, second, other, first)
    merged = msgspec.structs.replace(second, zuul_ref="Z" + "0" * 32, commit="c" * 40, zuul_url="http://merger")
    store(database, merged)
    reported = msgspec.structs.replace(second, verdict="success", reported_at=9.0)
    store(database, reported)
    told = msgspec.structs.replace(merged, verdict="success", reported_at=9.0)
    assert history.buildsets(database, "12") == [first, told, newer]
    assert history.buildsets(database, "12", "3") == [first, told]


def buildset(item: str, attempt: int, created_at: float) -> BuildsetRow:
    return BuildsetRow(item=item, attempt=attempt, pipeline="gate", project="tools/clock", created_at=created_at)


def test_old_items_go_with_their_builds_unless_they_are_in_a_pipeline(database: Engine, token: int) -> None:
    many = history.PRUNED_AT_ONCE + 1
    for number in range(many):
        store(database, buildset(f"old{number}", 1, 10.0))
    store(database, buildset("old0", 2, 10.0), buildset("present", 1, 10.0), buildset("new", 1, 100.0))
    for item in ("old0", "present", "new"):
        store(database, changed(uuid=item, item=item, change=item))
    assert history.prune(database, token, 100.0, ["present", "unknown"]) == many + 1
    left = history.builds(database, BuildFilter(), limit=10)
    assert sorted(row.item for row in left) == ["new", "present"]
    with reading(database) as connection:
        assert sorted(connection.execute(select(tables.buildset.c.item)).scalars()) == ["new", "present"]
    assert history.prune(database, token, 100.0, ["present"]) == 0
