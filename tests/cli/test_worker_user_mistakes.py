"""Mistakes that people make in the files of a worker, and where they are told of them."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gearman_places import any_server
from support.waiting import wait_until
from support.worker_site import WorkerSite

JOBS = """\
jobs:
  - {name: unit, steps: [{shell: 'true'}]}
  - {name: picky, node: windows, steps: [{shell: 'true'}]}
"""
SITES = """\
sites:
  - {name: logs, root: /srv/logs}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerSite]:
    folder = tmp_path_factory.mktemp("mistakes")
    with any_server("ours") as place:
        site = WorkerSite(folder, place.port, JOBS, options=f"nodes = {folder}/nodes.yaml")
        (folder / "nodes.yaml").write_text(SITES)
        with site:
            yield site


def test_a_job_with_a_label_that_no_node_has_is_told_everywhere(site: WorkerSite) -> None:
    site.write_jobs(JOBS)
    done = site.run("validate")
    assert done.returncode == 0
    assert f"{site.folder}/jobs.yaml:3:5: no node here may run job 'picky' (node: windows)" in done.stderr
    assert "'unit'" not in done.stderr
    assert "no node here may run 1 of the jobs: picky\n" in site.log()
    assert site.health()["unserved"] == ["picky"]


def test_files_that_were_refused_are_told_until_they_are_mended(site: WorkerSite) -> None:
    site.write_jobs("jobs: [")
    site.tell(signal.SIGHUP)
    wait_until(lambda: site.health()["problems"], what="what is wrong")
    assert site.health()["problems"][0].startswith(f"{site.folder}/jobs.yaml:")
    assert site.health()["unserved"] == ["picky"], "what was read before stays"
    site.write_jobs(JOBS)
    assert site.run("reload").returncode == 0
    assert site.health()["problems"] == []


def test_a_file_with_sites_only_leaves_this_machine_as_the_node(site: WorkerSite) -> None:
    site.write_jobs(JOBS)
    assert site.run("validate").stdout == "2 jobs, 1 nodes\n"
    assert list(site.health()["nodes"]) == ["built-in"]
    none = site.folder / "nodes.yaml"
    none.write_text(f"nodes: []\n{SITES}")
    try:
        done = site.run("validate")
        assert done.stdout == "2 jobs, 0 nodes\n"
        assert done.stderr.count("no node here may run job") == 2
    finally:
        none.write_text(SITES)


@pytest.mark.parametrize("url", ["ci.example.com:8002", "ftp://ci.example.com/", "http:///"])
def test_an_address_that_nobody_could_follow_is_refused(tmp_path: Path, url: str) -> None:
    site = WorkerSite(tmp_path / "site", 1, JOBS)
    text = site.config.read_text()
    site.config.write_text(text.replace(f"url = {site.url}/", f"url = {url}"))
    for arguments in (("validate",), ()):
        done = site.run(*arguments)
        assert done.returncode == 2
        assert f"[worker] url = '{url}' is no address of pages" in done.stderr
