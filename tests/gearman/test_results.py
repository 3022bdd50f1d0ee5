"""What workers say, as they should and as they should not."""

import json
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zuul_launcher.gearman.results import PAYLOAD_LIMIT, RESULT_LIMIT, Reply, read
from zuul_launcher.model.events import WorkerData
from zuul_launcher.model.queue import Worker

FIRST = {
    "name": "unit",
    "number": 88,
    "manager": "jenkins1",
    "url": "http://ci.example.net/job/unit/88/",
    "worker_name": "exec-0",
    "worker_hostname": "ci.example.net",
    "worker_ips": ["127.0.0.1", "192.168.1.1"],
    "worker_fqdn": "ci.example.net",
    "worker_program": "jenkins",
    "worker_version": "1.2",
    "worker_extra": {"something": "else", "cores": 4},
}


def said(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_the_first_data_tells_who_runs_the_build() -> None:
    reply = read(said(**FIRST))
    assert reply == Reply(
        data=WorkerData(
            number=88,
            manager="jenkins1",
            url="http://ci.example.net/job/unit/88/",
            worker=Worker(
                name="exec-0",
                hostname="ci.example.net",
                ips=("127.0.0.1", "192.168.1.1"),
                fqdn="ci.example.net",
                program="jenkins",
                version="1.2",
                extra={"something": "else", "cores": 4},
            ),
        )
    )


def test_what_later_data_does_not_say_again_stays() -> None:
    first = read(said(**FIRST)).data
    last = read(said(result="SUCCESS", node_name="n1", node_labels=["a"], worker_version="2"), first)
    assert last.result == "SUCCESS"
    assert (last.data.number, last.data.manager, last.data.url) == (first.number, first.manager, first.url)
    assert last.data.worker is not None
    assert (last.data.worker.name, last.data.worker.version) == ("exec-0", "2")
    assert (last.data.node_name, last.data.node_labels) == ("n1", ("a",))


@pytest.mark.parametrize("number", [0, 5, "5", "2024-01-01_00"])
def test_a_number_keeps_its_type_and_may_be_nought(number: int | str) -> None:
    found = read(said(number=number)).data.number
    assert found == number
    assert type(found) is type(number)


def test_without_a_result_there_is_none() -> None:
    assert read(b"") == Reply()
    assert read(said()).result is None
    assert read(said(result=None)) == Reply()
    assert read(said(result="")).result is None
    assert read(said(result="  ")).result is None


@pytest.mark.parametrize("word", ["SUCCESS", "FAILURE", "UNSTABLE", "whatever the worker calls it", "Erfolg \u2713"])
def test_any_word_of_a_worker_passes(word: str) -> None:
    assert read(said(result=word)).result == word


def test_a_result_is_cleaned_and_cut() -> None:
    assert read(said(result="A\x00B\n\x1b[31m\ud800\u202e")).result == "A\ufffdB\ufffd\ufffd[31m\ufffd\ufffd"
    assert read(said(result="x" * 5000)).result == "x" * RESULT_LIMIT


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"SUCCESS", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"number": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "JSON list"),
        (b"null", "JSON NoneType"),
        (b'"SUCCESS"', "JSON str"),
        (b'{"result": {}}', "JSON dict"),
        (b'{"result": false}', "JSON bool"),
        (b'{"result": 0}', "JSON int"),
        (b" " * (PAYLOAD_LIMIT + 1), "more than"),
    ],
)
def test_nonsense_is_no_result_and_says_why(payload: bytes, reason: str) -> None:
    before = WorkerData(number=1, manager="jenkins1")
    reply = read(payload, before)
    assert reply.result is None
    assert reason in (reply.error or "")
    assert reply.data == before


@pytest.mark.parametrize(
    "fields",
    [
        {"number": True},
        {"number": 1.5},
        {"number": [1]},
        {"number": 2**80},
        {"manager": 5},
        {"manager": "a b"},
        {"manager": "a\nshutdown"},
        {"url": {"x": 1}},
        {"url": ""},
        {"worker_ips": "127.0.0.1"},
        {"worker_extra": [1]},
        {"node_labels": "a"},
        {"node_name": 1},
    ],
)
def test_a_field_of_a_wrong_type_counts_as_not_said(fields: dict[str, object]) -> None:
    assert read(said(**fields)).data in (WorkerData(), WorkerData(worker=None))


def test_lists_and_texts_of_a_worker_are_bounded() -> None:
    data = read(
        said(
            url="http://" + "x" * 100_000,
            node_labels=["x"] * 100_000,
            worker_extra={str(one): one for one in range(100_000)},
        )
    ).data
    assert len(data.url or "") == 2000
    assert len(data.node_labels or ()) == 100
    assert data.worker is not None
    assert len(data.worker.extra) == 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*FIRST, "result", "node_name", "node_labels"]), JSON))
def test_whatever_json_comes_can_be_stored(fields: dict[str, object]) -> None:
    reply = read(json.dumps(fields))
    assert msgspec.json.decode(msgspec.json.encode(reply), type=Reply) == reply
    assert reply.result is None or reply.result.isprintable()


@given(st.binary(max_size=60) | st.text(string.printable, max_size=60))
def test_no_bytes_raise(payload: bytes | str) -> None:
    assert isinstance(read(payload), Reply)
