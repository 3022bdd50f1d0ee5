"""Steps of builds: how scripts run, what they see, and which of them run."""

from support.build_world import World, job


def test_a_script_is_for_bash_that_shows_its_commands_and_ends_at_the_first_error(world: World) -> None:
    """D81."""
    ran = world.run(job("echo one\nfalse\necho two"))
    assert ran.result == "FAILURE"
    assert "+ echo one\none\n+ false\n" in ran.console
    assert "two" not in ran.console
