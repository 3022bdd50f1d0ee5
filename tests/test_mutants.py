"""The tests notice broken rules: a few mutants here, all of them with `make mutants`."""

import mutants
import pytest


@pytest.mark.parametrize("number", mutants.IN_CI)
def test_a_broken_rule_fails_a_test(number: int) -> None:
    assert mutants.fate(mutants.MUTANTS[number]) == "scenarios"


def test_every_mutant_still_finds_the_code_that_it_changes() -> None:
    package = mutants.ROOT / "zuul_launcher"
    lost = [mutant for mutant in mutants.MUTANTS if (package / mutant.file).read_text().count(mutant.old) != 1]
    assert lost == []
