"""Steps of builds: how scripts run, what they see, which of them run, and how they are ended."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from support.build_world import QUICK, World, is_alive, job, wait_text
from support.waiting import wait_until

from zuul_launcher.worker.builds.steps import interpreter
from zuul_launcher.worker.definitions.job import JUnit, Script, Shell


def test_a_script_is_for_bash_that_shows_its_commands_and_ends_at_the_first_error(world: World) -> None:
    """D81, D40."""
    ran = world.run(job("echo one\nfalse\necho two"))
    assert ran.result == "FAILURE"
    assert "+ echo one\none\n+ false\n" in ran.console
    assert "two" not in ran.console


def test_a_script_with_a_first_line_of_its_own_is_run_by_that(world: World) -> None:
    """D81."""
    ran = world.run(job(f"#!{sys.executable} -I\nimport sys\nprint(sys.version_info[0], sys.flags.isolated)"))
    assert ran.result == "SUCCESS"
    assert "3 1\n" in ran.console
    assert "+" not in ran.console


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("echo", ("/bin/bash", "-xe")),
        ("", ("/bin/bash", "-xe")),
        ("#!/usr/bin/env python3\nx", ("/usr/bin/env", "python3")),
        ("#! /bin/sh -e -u \r\nx", ("/bin/sh", "-e -u")),
        ("#!\nx", ("/bin/bash", "-xe")),
        (" #!/bin/sh", ("/bin/bash", "-xe")),
    ],
)
def test_the_first_line_of_a_script_names_its_interpreter(text: str, command: tuple[str, ...]) -> None:
    assert interpreter(text) == command


def test_its_folder_is_the_workspace_its_input_is_empty_and_both_outputs_keep_their_order(world: World) -> None:
    """D82."""
    ran = world.run(job("#!/bin/bash\npwd; wc -c; for i in 1 2 3; do echo out $i; echo err $i >&2; done"))
    lines = [f"{stream} {number}" for number in (1, 2, 3) for stream in ("out", "err")]
    assert ran.console.startswith("\n".join([str(ran.workspace), "0", *lines]))


def test_a_script_is_for_its_owner_alone_and_gone_after_the_build(world: World) -> None:
    """D81."""
    ran = world.run(job('stat -c "%a" "$0" "$WORKSPACE_TMP"'))
    assert "700\n700\n" in ran.console
    assert not Path(f"{ran.workspace}@tmp").exists()


def test_each_step_has_a_session_of_its_own(world: World) -> None:
    ran = world.run(job("#!/bin/sh\necho $(($(ps -o sid= -p $$) - $$))"))
    assert ran.console.startswith("0\n")


def test_the_end_by_a_signal_is_told_as_128_and_its_number(world: World) -> None:
    ran = world.run(job("#!/bin/sh\nkill -USR1 $$"))
    assert ran.result == "FAILURE"
    assert f"exit status {128 + signal.SIGUSR1}]" in ran.console


def test_parameters_arrive_byte_exact(world: World) -> None:
    """D30."""
    value = 'two\nlines\r\n\ttab "quotes" $(echo no) äöü 😀 \x01\n'
    ran = world.run(job("#!/usr/bin/env python3\nimport os; print(ascii(os.environ['P']))"), {"P": value})
    assert ascii(value) in ran.console


def test_a_long_parameter_lies_in_a_file(world: World) -> None:
    """D33."""
    ran = world.run(
        job('#!/bin/sh\nwc -c < "$ZUUL_CHANGES_FILE"; echo "[$ZUUL_CHANGES]"'), {"ZUUL_CHANGES": "x" * 200_000}
    )
    assert ran.console.startswith("200000\n[]\n")


def test_all_parameters_lie_in_a_file_as_they_came(world: World) -> None:
    ran = world.run(job('#!/bin/sh\ncat "$WORKSPACE_TMP/build.json"'), {"no-name": [1, {"a": None}], "P": 7})
    assert '"no-name": [' in ran.console
    assert '"P": 7' in ran.console


def test_protected_parameters_do_not_reach_the_steps(world: World) -> None:
    """D32."""
    script = '#!/bin/sh\necho "[$LD_DEBUG_OUTPUT]"'
    assert world.run(job(script), {"LD_DEBUG_OUTPUT": "x"}).console.count("[]") == 1
    assert "[x]" in world.run(job(script, allow_params=("LD_DEBUG_OUTPUT",)), {"LD_DEBUG_OUTPUT": "x"}).console


def test_a_repeated_key_is_warned_of_in_the_console(world: World) -> None:
    """D29."""
    world.define(job("#!/bin/sh\necho $P"))
    world.assign(payload=b'{"P": "1", "P": "2"}').end()
    assert "more than once" in world.console()
    assert "\n2\n" in world.console()


def test_a_parameter_with_nul_fails_the_build_before_any_step(world: World) -> None:
    ran = world.run(job("touch ran"), {"P": "a\0b"})
    assert ran.result == "FAILURE"
    assert "NUL" in ran.console
    assert not ran.workspace.exists()


def test_after_a_failure_only_those_run_that_say_so(world: World) -> None:
    """D87."""
    steps = [
        Shell(text="#!/bin/sh\necho first; exit 3"),
        Shell(text="#!/bin/sh\necho second"),
        Shell(text="#!/bin/sh\necho third", when=("always",)),
        Shell(text="#!/bin/sh\necho fourth", when=("failure",)),
        Shell(text="#!/bin/sh\necho fifth", when=("ABORTED",)),
    ]
    ran = world.run(job(steps=tuple(steps)))
    assert ran.result == "FAILURE"
    assert [word for word in ran.console.split() if word in ("first", "second", "third", "fourth", "fifth")] == [
        "first",
        "third",
        "fourth",
    ]


def test_a_step_that_is_not_essential_may_fail(world: World) -> None:
    ran = world.run(job(steps=(Shell(text="exit 1", essential=False), Shell(text="echo on"))))
    assert ran.result == "SUCCESS"
    assert "on\n" in ran.console


def test_a_step_has_variables_of_its_own(world: World) -> None:
    ran = world.run(job(steps=(Shell(text="#!/bin/sh\necho [$A$B]", env={"A": "step"}),), env={"A": "job", "B": "job"}))
    assert "[stepjob]" in ran.console


def test_an_interpreter_that_is_not_there_is_a_failure(world: World) -> None:
    ran = world.run(job("#!/nonexistent/python\nx"))
    assert ran.result == "FAILURE"
    assert "/nonexistent/python" in ran.console


def test_a_step_over_its_time_is_ended_with_all_its_processes(world: World) -> None:
    """D41."""
    ran = world.run(job("#!/bin/bash\nsleep 1000 & echo $! > child\necho $$ > self; wait", timeout=0.5))
    assert ran.result == "TIMED_OUT"
    assert not is_alive(int((ran.workspace / "self").read_text()))
    assert not is_alive(int((ran.workspace / "child").read_text()))


def test_a_step_over_its_time_is_gone_before_anything_else_runs(world: World) -> None:
    """D41."""
    after = Script(steps=(Shell(text='#!/bin/sh\ngrep -qs "^State:.[SRD]" /proc/$(cat self)/status || echo gone'),))
    ran = world.run(job("#!/bin/bash\necho $$ > self; exec sleep 1000", timeout=0.5, publish=(after,)))
    assert ran.result == "TIMED_OUT"
    assert "gone\n" in ran.console


def test_the_time_is_that_of_all_steps(world: World) -> None:
    """D41."""
    steps = (Shell(text="sleep 1000"), Shell(text="echo later", when=("always",)))
    ran = world.run(job(steps=steps, timeout=0.3, timeout_result="ABORTED"))
    assert ran.result == "ABORTED"
    assert "later" not in ran.console


def test_after_a_step_over_its_own_time_others_may_run(world: World) -> None:
    steps = (Shell(text="sleep 1000", timeout=0.2), Shell(text="#!/bin/sh\necho later", when=("always",)))
    ran = world.run(job(steps=steps))
    assert ran.result == "TIMED_OUT"
    assert "later\n" in ran.console


def test_a_deaf_step_is_killed_after_the_grace(worlds: Callable[..., World]) -> None:

    world = worlds(limits=structs.replace(QUICK, kill_grace=0.2))
    ran = world.run(job("#!/bin/bash\ntrap '' TERM; echo $$ > self; while true; do sleep 0.1; done", timeout=0.5))
    assert ran.result == "TIMED_OUT"
    assert not is_alive(int((ran.workspace / "self").read_text()))


DAEMON = """#!/usr/bin/env python3
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3):
            os.close(number)
        open("daemon", "w").write(str(os.getpid()))
        time.sleep(1000)
    os._exit(0)
while not os.path.exists("daemon"):
    time.sleep(0.01)
"""


def test_what_steps_leave_running_ends_with_the_build(with_agent: World) -> None:
    """D50."""
    ran = with_agent.run(job(DAEMON, "kill -0 $(cat daemon) && echo there"))
    assert ran.result == "SUCCESS"
    assert "there\n" in ran.console
    daemon = int(wait_text(ran.workspace / "daemon"))
    wait_until(lambda: not is_alive(daemon))


def test_a_step_may_keep_what_it_leaves_running(with_agent: World) -> None:
    """A10."""
    ran = with_agent.run(job(steps=(Shell(text=DAEMON, keep_processes=True),)))
    daemon = int(wait_text(ran.workspace / "daemon"))
    assert ran.result == "SUCCESS"
    assert is_alive(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_a_process_that_holds_the_output_holds_no_build(world: World) -> None:
    ran = world.run(job("#!/bin/bash\nsleep 1000 & echo $! > child; echo told"))
    assert ran.result == "SUCCESS"
    assert "told\n" in ran.console
    assert "was left running" in ran.console
    wait_until(lambda: not is_alive(int((ran.workspace / "child").read_text())))


def test_a_process_that_writes_for_ever_holds_no_build(world: World) -> None:
    ran = world.run(job("#!/bin/bash\nwhile true; do echo tick; sleep 0.02; done &\necho told"))
    assert ran.result == "SUCCESS"
    assert "was left running" in ran.console


def test_all_output_of_a_step_arrives_however_much_it_is(world: World) -> None:
    """D82."""
    ran = world.run(job("#!/bin/sh\nseq 1 300000"))
    assert ran.console == "".join(f"{number}\n" for number in range(1, 300001)) + "Finished: SUCCESS\n"


@pytest.mark.parametrize(
    ("build", "when", "runs"),
    [
        ("exit 0", "success", True),
        ("exit 1", "FAILURE", True),
        ("exit 1", "SUCCESS", False),
        ("exit 1", "success", True),
    ],
)
def test_in_a_script_after_the_build_small_words_speak_of_the_script(
    world: World, build: str, when: str, runs: bool
) -> None:
    """D87."""
    after = Script(steps=(Shell(text="#!/bin/sh\necho after", when=(when,)),))
    assert ("after\n" in world.run(job(build, publish=(after,))).console) is runs


@pytest.mark.parametrize("marks", ["POST_FAILURE", "FAILURE", "UNSTABLE"])
def test_a_script_that_fails_after_the_build_marks_it(world: World, marks: Any) -> None:
    """D43."""
    after = Script(steps=(Shell(text="exit 1"), Shell(text="echo not reached")), marks=marks)
    ran = world.run(job("exit 0", publish=(after,)))
    assert ran.result == marks
    assert "not reached\n" not in ran.console


def test_publishers_have_a_time_of_their_own(world: World) -> None:
    """D43."""
    after = Script(steps=(Shell(text="sleep 1000"),))
    ran = world.run(job("exit 0", publish=(after, JUnit(paths=("x.xml",))), publish_timeout=0.3))
    assert ran.result == "POST_FAILURE"
    assert "no time is left" in ran.console
