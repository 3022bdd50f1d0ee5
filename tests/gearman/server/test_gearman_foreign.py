"""Clients and workers that others wrote, at our server: Python's gear, libgearman in C, `gearman` and `gearadmin`."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gear
import pytest
from support.gearman_wire import DEADLINE, Place
from support.waiting import wait_until

# gear uses names that Python has deprecated.
gear_warnings = pytest.mark.filterwarnings("ignore:.*notifyAll:DeprecationWarning")


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.kill()
        process.wait(DEADLINE)


def output(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=DEADLINE, check=False)
    return done.stdout + done.stderr


@contextmanager
def gear_pair(port: int) -> Iterator[tuple[gear.Client, gear.Worker]]:
    client, worker = gear.Client("client"), gear.Worker("worker")
    try:
        for each in (client, worker):
            each.addServer("127.0.0.1", port)
            each.waitForServer(DEADLINE)
        yield client, worker
    finally:
        client.shutdown()
        worker.shutdown()


@gear_warnings
def test_the_gear_library_runs_a_job_and_hears_its_data_status_and_result(ours: Place) -> None:
    with gear_pair(ours.port) as (client, worker):
        worker.registerFunction("f")
        job = gear.TextJob("f", "payload", unique="u")
        client.submitJob(job, timeout=DEADLINE)
        taken = worker.getJob()
        assert (taken.name, taken.arguments, taken.unique) == ("f", b"payload", b"u")
        taken.sendWorkData(b"part")
        taken.sendWorkStatus(1, 2)
        taken.sendWorkComplete(b"done")
        wait_until(lambda: job.complete)
        assert (job.data, job.numerator, job.failure) == (["part", "done"], b"1", False)


@gear_warnings
def test_the_gear_library_gets_the_text_of_an_exception_without_asking_for_it(ours: Place) -> None:
    with gear_pair(ours.port) as (client, worker):
        worker.registerFunction("f")
        job = gear.Job(b"f", b"")
        client.submitJob(job, timeout=DEADLINE)
        worker.getJob().sendWorkException(b"because")
        wait_until(lambda: job.complete)
        assert (job.exception, job.failure) == (b"because", True)


@gear_warnings
def test_the_gear_librarys_admin_requests_are_answered(ours: Place) -> None:
    with gear_pair(ours.port) as (client, worker):
        worker.registerFunction("g")
        job = gear.Job(b"f", b"", unique=b"u")
        client.submitJob(job, timeout=DEADLINE)
        connection = client.getConnection()

        def answer(request: gear.AdminRequest) -> bytes:
            connection.sendAdminRequest(request, timeout=DEADLINE)
            return bytes(request.response)

        wait_until(lambda: answer(gear.StatusAdminRequest()) == b"f\t1\t0\t0\ng\t0\t0\t1\n.\n")
        assert b" worker : g\n" in answer(gear.WorkersAdminRequest())
        assert answer(gear.VersionAdminRequest()).startswith(b"OK zuul-launcher ")
        assert answer(gear.ShowJobsAdminRequest()) == job.handle + b"\t0\t0\t0\n.\n"
        assert answer(gear.ShowUniqueJobsAdminRequest()) == b"u\n.\n"
        assert answer(gear.CancelJobAdminRequest(job.handle)) == b"OK\n"
        assert answer(gear.CancelJobAdminRequest(job.handle)) == b"ERR UNKNOWN_JOB\n"


@pytest.mark.libgearman
def test_gearman_tools_submit_and_serve(ours: Place) -> None:
    where = ("-h", "127.0.0.1", "-p", str(ours.port))
    with running("gearman", *where, "-w", "-f", "reverse", "--", "rev"):
        assert output("gearman", *where, "-f", "reverse", text="hello\n") == "olleh\n"
        output("gearman", *where, "-f", "later", "-b", "-u", "unique", text="x")
    watcher = ours.connect()
    wait_until(lambda: watcher.ask_list("status") == ["later\t1\t0\t0"])


@pytest.mark.libgearman
def test_gearadmin_reads_every_answer(ours: Place) -> None:
    client = ours.connect()
    handle = client.submit(b"f", b"u").decode()
    ours.worker(b"g")

    def gearadmin(*options: str) -> str:
        return output("gearadmin", "-h", "127.0.0.1", "-p", str(ours.port), *options)

    assert gearadmin("--status") == "f\t1\t0\t0\ng\t0\t0\t1\n.\n"
    assert gearadmin("--priority-status") == "f\t0\t1\t0\t0\ng\t0\t0\t0\t1\n.\n"
    assert " 127.0.0.1 - : g\n" in gearadmin("--workers")
    assert gearadmin("--show-jobs") == f"{handle}\t0\t0\t0\n.\n"
    assert gearadmin("--show-unique-jobs") == "u\n.\n"
    assert gearadmin("--server-version").startswith("zuul-launcher ")
    assert gearadmin("--getpid").strip().isdecimal()
    assert "Error" not in gearadmin(f"--cancel-job={handle}")
    assert gearadmin(f"--cancel-job={handle}") == "Error: UNKNOWN_JOB\n"
    assert "UNKNOWN_COMMAND" in gearadmin("--create-function=x")


@pytest.fixture(scope="module")
def libgearman_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A client and worker in C; skipped where it cannot be compiled."""
    if not shutil.which("gcc") or not Path("/usr/include/libgearman/gearman.h").exists():
        pytest.skip("gcc or libgearman-dev is not installed")
    program = str(tmp_path_factory.mktemp("libgearman") / "program")
    source = str(Path(__file__).with_name("libgearman_client.c"))
    subprocess.run(["gcc", "-o", program, source, "-lgearman"], check=True, timeout=60)
    return program


@pytest.mark.libgearman
@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("hello", "data part\nstatus 1/2\nwarning careful\ncomplete hello\n"),
        ("fail", "fail\n"),
        ("boom", "exception because\n"),
    ],
)
def test_libgearman_serves_and_hears_jobs(ours: Place, libgearman_program: str, text: str, heard: str) -> None:
    port = str(ours.port)
    with running(libgearman_program, "worker", port):
        assert output(libgearman_program, "client", port, text) == f"{heard}end GEARMAN_SUCCESS\n"
