"""What our samples of Jenkins Job Builder do here, beside the XML that its own program makes of them for Jenkins."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from zuul_launcher.worker.definitions.jjbcheck import check
from zuul_launcher.worker.definitions.job import Artifacts, Copy, Job, JUnit, Publisher, Script, Shell, Step

FOLDER = Path(__file__).parent / "jjb"
SAMPLES = FOLDER / "samples"
SUPPORT = Path(__file__).parents[2] / "support"
NAMES = (
    "compass-coverage-py35",
    "compass-unit-py27",
    "compass-unit-py35",
    "gate-sextant-docs",
    "integration",
    "publish-images",
    "release",
)
TRIGGER = "hudson.plugins.parameterizedtrigger."
ENDED = {"FAILURE": ["FAILURE", "POST_FAILURE"], "ABORTED": ["ABORTED", "TIMED_OUT"]}

pytestmark = pytest.mark.xdist_group("jjb")  # the XML is made once


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ET.Element]:
    """The XML of every job, by `jenkins-jobs test`."""
    target = tmp_path_factory.mktemp("xml")
    path = f"{SUPPORT / 'jjb_pkg_resources'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    command = [sys.executable, "-m", "jenkins_jobs", "test", "--config-xml", str(SAMPLES), "-o", str(target)]
    environment = {**os.environ, "PYTHONPATH": path, "HOME": str(target)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return {file.parent.name: ET.parse(file).getroot() for file in target.rglob("config.xml")}


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    report = check(SAMPLES)
    assert report.lines == ()
    return dict(report.jobs)


def test_the_same_jobs_come_of_it(made: dict[str, ET.Element], jobs: dict[str, Job]) -> None:
    assert set(jobs) == set(made) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_are_those_of_the_xml_in_its_order(
    made: dict[str, ET.Element], jobs: dict[str, Job], name: str
) -> None:
    """D94. JJB sample with shell, postbuildscript, archive, timeout, scp: the same steps in order as JJB's XML."""
    builders = made[name].find("builders")
    assert builders is not None
    expected = steps_in(builders)
    assert expected
    assert [plain_step(step) for step in jobs[name].steps] == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_publishers_are_those_of_the_xml_in_its_order(
    made: dict[str, ET.Element], jobs: dict[str, Job], name: str
) -> None:
    """D94, D96. The same for what runs after the steps. The console is copied where the XML says so."""
    publishers = made[name].find("publishers")
    assert publishers is not None
    assert [plain_publisher(one) for one in jobs[name].publish] == [
        found for one in publishers for found in publishers_in(one)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_around_the_steps_is_that_of_the_xml(
    made: dict[str, ET.Element], jobs: dict[str, Job], name: str
) -> None:
    """D94. The same for the time limit, the credentials and the node."""
    root, job = made[name], jobs[name]
    assert str(job.node or "") == root.findtext("assignedNode", "")
    assert str(job.concurrent).lower() == root.findtext("concurrentBuild")
    assert job.params == {
        one.findtext("name"): one.findtext("defaultValue")
        for one in root.iter("hudson.model.StringParameterDefinition")
        if one.findtext("defaultValue")
    }
    minutes = [float(one.text or 0) for one in root.iter("timeoutMinutes")]
    assert job.timeout == (minutes[0] * 60 if minutes else 30 * 60)
    assert job.timeout_variable == root.findtext(".//timeoutEnvVar", "")
    assert (job.timeout_result == "FAILURE") == bool(
        list(root.iter("hudson.plugins.build__timeout.operations.FailOperation"))
    )
    assert job.clean_first == bool(list(root.iter("hudson.plugins.ws__cleanup.PreBuildCleanup")))
    assert (job.cleanup == "always") == bool(list(root.iter("hudson.plugins.ws__cleanup.WsCleanup")))
    assert [(one.variable, one.secret) for one in job.credentials] == credentials_in(root)
    assert (job.scm.url if job.scm else None) == root.findtext(".//hudson.plugins.git.UserRemoteConfig/url")
    kept = [root.findtext(f".//{tag}") for tag in ("daysToKeep", "numToKeep")]
    assert [job.keep.days, job.keep.builds] == [
        None if number == "-1" else int(number) if number else default
        for number, default in zip(kept, (30, None), strict=True)
    ]


def braced(text: str | None) -> str:
    return re.sub(r"\$(\w+)", r"${\1}", text or "")


def patterns(text: str | None) -> list[str]:
    return [f"{one}**" if one.endswith("/") else one for one in re.split(r",\s*", text or "") if one]


def steps_in(element: ET.Element) -> list[Any]:
    found: list[Any] = []
    for one in element:
        if one.tag == "hudson.tasks.Shell":
            found.append(("shell", one.findtext("command")))
        else:
            assert one.tag == f"{TRIGGER}TriggerBuilder"
            found += [_trigger_in(config) for config in one.iter(f"{TRIGGER}BlockableBuildTriggerConfig")]
    return found


def _trigger_in(config: ET.Element) -> Any:
    lines = (config.findtext(f".//{TRIGGER}PredefinedBuildParameters/properties") or "").splitlines()
    parameters = {line.split("=")[0]: braced(line.split("=")[1]) for line in lines if not line.startswith("#")}
    for one in config.iter(f"{TRIGGER}BooleanParameterConfig"):
        parameters[one.findtext("name") or ""] = one.findtext("value") or ""
    passed = config.find(f".//{TRIGGER}CurrentBuildParameters") is not None
    block = config.find("block")
    counts = block is None or len(block) > 0
    return "trigger", patterns(config.findtext("projects")), parameters, passed, block is not None, counts


def plain_step(step: Step) -> Any:
    if isinstance(step, Shell):
        return "shell", step.text
    return "trigger", list(step.jobs), dict(step.parameters), step.pass_parameters, step.wait, step.essential


def publishers_in(one: ET.Element) -> list[Any]:
    if one.tag == "be.certipost.hudson.plugin.SCPRepositoryPublisher":
        entries = [entry for each in one.iter("be.certipost.hudson.plugin.Entry") for entry in _entries(each)]
        return [("scp", one.findtext("siteName"), entries)]
    if one.tag == "org.jenkinsci.plugins.postbuildscript.PostBuildScript":
        marks = "UNSTABLE" if one.findtext(".//markBuildUnstable") == "true" else "POST_FAILURE"
        steps = one.iter("org.jenkinsci.plugins.postbuildscript.model.PostBuildStep")
        return [("script", _results(each), _build_steps(each), marks) for each in steps]
    if one.tag == "hudson.tasks.ArtifactArchiver":
        paths = patterns(one.findtext("artifacts")), patterns(one.findtext("excludes"))
        return [("archive", *paths, one.findtext("allowEmptyArchive"), one.findtext("onlyIfSuccessful"))]
    if one.tag == "hudson.tasks.junit.JUnitResultArchiver":
        return [("junit", patterns(one.findtext("testResults")), one.findtext("allowEmptyResults"))]
    assert one.tag in ("hudson.plugins.emailext.ExtendedEmailPublisher", "hudson.plugins.ws__cleanup.WsCleanup")
    return []


def _entries(entry: ET.Element) -> list[Any]:
    target, after = braced(entry.findtext("filePath")), entry.findtext("copyAfterFailure")
    found = [
        (target, one, entry.findtext("keepHierarchy"), "false", after) for one in patterns(entry.findtext("sourceFile"))
    ]
    return [*found, (target, "", "false", "true", after)] if entry.findtext("copyConsoleLog") == "true" else found


def _results(step: ET.Element) -> list[str]:
    found = [one.text or "" for one in step.iterfind("results/string")]
    if set(found) == {"SUCCESS", "UNSTABLE", "FAILURE", "ABORTED"}:
        return ["always"]
    return [when for one in found for when in ENDED.get(one, [one])]


def _build_steps(step: ET.Element) -> list[Any]:
    found = step.find("buildSteps")
    assert found is not None
    return steps_in(found)


def plain_publisher(one: Publisher) -> Any:
    if isinstance(one, Copy):
        return "scp", one.site, [
            (each.target, each.source, *_truths(each.keep_hierarchy, each.copy_console, each.copy_after_failure))
            for each in one.files
        ]  # fmt: skip
    if isinstance(one, Script):
        return "script", list(one.when), [plain_step(step) for step in one.steps], one.marks
    if isinstance(one, Artifacts):
        truths = _truths(one.allow_empty, one.when == ("success",))
        return "archive", list(one.paths), list(one.excludes), *truths
    assert isinstance(one, JUnit)
    return "junit", list(one.paths), *_truths(one.allow_empty)


def _truths(*values: bool) -> tuple[str, ...]:
    return tuple(str(value).lower() for value in values)


def credentials_in(root: ET.Element) -> list[tuple[str, str]]:
    found = []
    for binding in root.iterfind(".//bindings/*"):
        secret = binding.findtext("credentialsId") or ""
        for tag in ("variable", "usernameVariable", "passwordVariable"):
            if name := binding.findtext(tag):
                found.append((name, secret))
    found += [("SSH_AUTH_SOCK", one.text or "") for one in root.iterfind(".//credentialIds/string")]
    for file in root.iter("org.jenkinsci.plugins.configfiles.buildwrapper.ManagedFile"):
        found.append((file.findtext("variable") or "", file.findtext("fileId") or ""))
    return found
