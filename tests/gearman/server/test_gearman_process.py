"""The server as a process: what it says, where it listens, how it ends, how many connections it takes."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.gearman_wire import DEADLINE, Wire
from support.statsd import Statsd

from zuul_launcher.gearman.server.listen import open_sockets
from zuul_launcher.gearman.server.packets import HEADER, MAGIC_REQUEST, Command

PROGRAM = "from zuul_launcher.cli.gear import gearman; gearman()"


@contextmanager
def started(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and the port that it says it listens on."""
    command = [sys.executable, "-c", PROGRAM, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"listening on (.+) port (\d+)$", process.stderr.readline().strip())
            assert found is not None
            assert found[1] == (options[1] if options else "all addresses")
            yield process, int(found[2])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_a_signal_ends_it_with_open_connections(number: signal.Signals) -> None:
    with started("--listen", "127.0.0.1") as (process, port):
        wire = Wire(port)
        assert wire.ask("getpid") == f"OK {process.pid}"
        process.send_signal(number)
        assert wire.closed_by_server()
        wire.close()
        assert process.wait(DEADLINE) == 0


def test_without_an_address_both_families_are_served_on_one_port_and_told_apart() -> None:
    with started() as (_, port):
        for address in ("127.0.0.1", "::1"):
            try:
                opened = socket.create_connection((address, port), DEADLINE)
            except OSError:
                assert address == "::1", "a host may have no IPv6"
                continue
            with opened:
                opened.sendall(b"workers\n")
                assert opened.recv(1000).split()[1].decode() == address


def test_a_name_with_several_addresses_is_one_port_on_all_of_them() -> None:
    opened = open_sockets("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in opened}) == 1
    finally:
        for each in opened:
            each.close()


def test_a_handle_never_names_a_job_of_an_earlier_process() -> None:
    handles = []
    for _ in range(2):
        with started("--listen", "127.0.0.1") as (_, port):
            wire = Wire(port)
            handles.append(wire.submit(b"f"))
            wire.close()
    assert handles[0] != handles[1]
    assert all(re.fullmatch(rb"H:[^:]+:\d+", handle) and len(handle) < 64 for handle in handles)


def test_statsd_is_told_what_it_was_told_by_zuul_2() -> None:
    with Statsd() as statsd:
        where = {"STATSD_HOST": "127.0.0.1", "STATSD_PORT": str(statsd.port)}
        with started("--listen", "127.0.0.1", **where) as (process, port):
            statsd.hear(*(f"zuul.geard.queue.{name}:0|g".__eq__ for name in ("total", "running", "waiting")))
            client, worker = Wire(port), Wire(port)
            client.submit(b"f")
            client.submit(b"f")
            worker.send(Command.CAN_DO, b"f")
            assert worker.grab() is not None
            worker.send_raw(HEADER.pack(MAGIC_REQUEST, 1000, 0))
            statsd.hear(
                "zuul.geard.queue.total:2|g".__eq__,
                "zuul.geard.queue.running:1|g".__eq__,
                "zuul.geard.queue.waiting:1|g".__eq__,
                "zuul.geard.packet.SUBMIT_JOB:1|c".__eq__,
                re.compile(r"zuul\.geard\.packet\.CAN_DO:\d+\.\d\d\d\|ms").fullmatch,
                "zuul.geard.packet.UNKNOWN:1|c".__eq__,
            )
            client.close()
            worker.close()
            process.terminate()
            assert process.wait(DEADLINE) == 0
    assert sum(line == "zuul.geard.packet.SUBMIT_JOB:1|c" for line in statsd.lines) == 2


def test_a_port_of_statsd_that_is_none_is_refused() -> None:
    environment = {**os.environ, "STATSD_HOST": "127.0.0.1", "STATSD_PORT": "many"}
    command = [sys.executable, "-c", PROGRAM, "--port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 2
    assert "STATSD_PORT='many'" in done.stderr
