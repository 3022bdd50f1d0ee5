"""Behaviour 10.14: several connections of one kind, with real processes: users, Gerrits, databases."""

from pathlib import Path

from sqlalchemy import NullPool, create_engine, inspect, select
from support.system import Gate, prepared_gate
from support.waiting import wait_until

from zuul_launcher.report import sqltables
from zuul_launcher.sim.gerrit.site import GerritSite
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

USERS = """\
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit: [{event: patchset-created}]
    success:
      gerrit: {verified: 1}
    failure:
      second: {verified: -1}
projects:
  - {name: $alpha, check: [unit]}
"""


def connect(gate: Gate, name: str, gerrit: GerritSite, user: str) -> None:
    """A further connection in zuul.conf."""
    with gate.site.config.open("a") as config:
        config.write(
            f"\n[connection {name}]\ndriver = gerrit\nserver = {gerrit.host}\nport = {gerrit.port}\nuser = {user}\n"
            f"sshkey = {gerrit.key_file(user)}\nknown_hosts = {gate.site.folder}/known_hosts\n"
        )
    with (gate.site.folder / "known_hosts").open("a") as known_hosts:
        known_hosts.write(gerrit.known_hosts_line() + "\n")


def test_a_success_comes_from_one_user_and_a_failure_from_another(stand_in: SimGerrit, tmp_path: Path) -> None:
    with prepared_gate(tmp_path, stand_in, USERS) as gate:
        connect(gate, "second", stand_in, "admin")
        gate.site.start()
        with gate.working():
            gate.worker.release_all()
            gate.wait_until_ready()
            good, bad = gate.push("alpha", {"new": "x\n"}), gate.push("alpha", {"broken": "x\n"})
            for change in (good, bad):
                gate.wait_for_reports(change, 1)
            gate.wait_until_idle()
        assert stand_in.votes(good) == {"Verified": {"zuul": 1}}
        assert stand_in.votes(bad) == {"Verified": {"admin": -1}}
        assert [len(gate.worker.history), len(gate.reports(good)), len(gate.reports(bad))] == [2, 1, 1]
        assert gate.complaints() == []


def of_each(gerrit: str) -> str:
    return f"""\
  - name: check-{gerrit}
    manager: IndependentPipelineManager
    source: {gerrit}
    trigger:
      {gerrit}: [{{event: patchset-created}}]
    success:
      {gerrit}: {{verified: 1}}
"""


GERRITS = f"""\
pipelines:
{of_each("gerrit")}{of_each("other")}
projects:
  - {{name: $alpha, check-gerrit: [unit], check-other: [unit]}}
  - {{name: gamma, check-gerrit: [unit], check-other: [unit]}}
"""


def test_an_event_runs_only_what_its_own_gerrit_feeds(stand_in: SimGerrit, tmp_path: Path) -> None:
    with SimGerrit(tmp_path / "other") as other, prepared_gate(tmp_path, stand_in, GERRITS) as gate:
        other.create_project("gamma", {"check.sh": "test ! -e broken\n"})
        connect(gate, "other", other, "zuul")
        gate.site.start()
        with gate.working():
            gate.wait_until_ready()
            theirs = other.push_change("gamma", "master", {"new": "x\n"}, "Add new")
            gate.wait_for_builds(("unit", theirs.number))
            ours = gate.push("alpha", {"new": "x\n"})
            assert ours.id == theirs.id == "1,1"  # each Gerrit counts for itself
            gate.wait_for_builds(("unit", theirs.number), ("unit", ours.number))
            told = [(one.parameters["ZUUL_PIPELINE"], one.parameters["ZUUL_PROJECT"]) for one in gate.worker.builds]
            assert told == [("check-other", "gamma"), ("check-gerrit", ours.project)]
            gate.worker.release_all()
            gate.wait_for_reports(ours, 1)
            gate.wait_until_idle()
        assert (stand_in.votes(ours), other.votes(theirs)) == ({"Verified": {"zuul": 1}},) * 2
        assert len(gate.worker.history) == 2
        assert gate.complaints() == []


DATABASES = """\
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit: [{event: patchset-created}]
    success:
      gerrit: {verified: 1}
      all: {score: 1}
      away: {}
    failure:
      gerrit: {verified: -1}
      all: {score: -1}
      failures: {score: -2}
projects:
  - {name: $alpha, check: [{unit: [docs]}, style]}
"""


def test_each_database_gets_its_own_rows_and_one_that_is_away_gets_them_later(
    stand_in: SimGerrit, tmp_path: Path
) -> None:
    paths = {"all": tmp_path / "all", "failures": tmp_path / "failures", "away": tmp_path / "later" / "away"}
    with prepared_gate(tmp_path, stand_in, DATABASES) as gate:
        with gate.site.config.open("a") as config:
            for name, path in paths.items():
                config.write(f"\n[connection {name}]\ndriver = sql\ndburi = sqlite:///{path}\n")
        gate.site.start()
        with gate.working(("unit", "docs", "style")):
            gate.worker.release_all()
            gate.wait_until_ready()
            good = gate.push("alpha", {"new": "x\n"})
            gate.wait_for_reports(good, 1)
            bad = gate.push("alpha", {"broken": "x\n"})
            gate.wait_for_reports(bad, 1)
            gate.wait_until_idle()
        assert (stand_in.votes(good), stand_in.votes(bad)) == ({"Verified": {"zuul": 1}}, {"Verified": {"zuul": -1}})
        lines = gate.complaints()
        assert [line for line in lines if "unable to open database file" not in line] == []
        assert lines != []
        url = "http://w1.example.net/job"
        passed = [f"{url}/{job}/1/" for job in ("unit", "docs", "style")]
        failed = [f"{url}/{job}/2/" for job in ("unit", "style")]
        of_good, of_bad = ("Build succeeded.", int(good.number), passed), ("Build failed.", int(bad.number), failed)
        wait_until(lambda: stored(paths["all"]) == {1: of_good, -1: of_bad}, what="rows of both")
        wait_until(lambda: stored(paths["failures"]) == {-2: of_bad}, what="rows of the failure")

        paths["away"].parent.mkdir()
        gate.site.terminate("scheduler")
        gate.site.start_scheduler()
        wait_until(lambda: stored(paths["away"]) == {0: of_good}, what="the rows that had to wait")


def stored(path: Path) -> dict[int, tuple[str, int, list[str]]]:
    """Score -> message, change, and where to look at each job in order."""
    build = sqltables.build.c
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    if "zuul_build" not in inspect(engine).get_table_names():
        return {}
    found: dict[int, tuple[str, int, list[str]]] = {}
    with engine.connect() as connection:
        for row in connection.execute(select(sqltables.buildset)):
            urls = select(build.log_url).where(build.buildset_id == row.id).order_by(build.id)
            assert row.score not in found
            found[row.score] = (row.message, row.change, list(connection.execute(urls).scalars()))
    return found
