"""jobs.yaml: what each key means, and that a mistake refuses its own job, with its place."""

import textwrap
from pathlib import Path

import pytest

from zuul_launcher.worker.definitions.job import (
    Artifacts,
    Copy,
    CopyFiles,
    Credential,
    Definitions,
    Git,
    Job,
    JUnit,
    Keep,
    Place,
    Script,
    Shell,
    Throttle,
    Trigger,
)
from zuul_launcher.worker.definitions.labels import parse
from zuul_launcher.worker.definitions.load import Sources, load
from zuul_launcher.yamlfile.problems import FileErrors

NODES = "sites: [{name: logs, root: /srv/logs}, {name: docs, root: /srv/docs}]\n"
SECRETS = """
token: {text: hunter2}
account: {username: bob, password: hunter3}
key: {private_key: hunter4}
second-key: {private_key: hunter5, passphrase: hunter6}
settings: {file: hunter7}
"""
FULL = """
defaults: {timeout: 1h30m, cleanup: success, env: {A: "1", B: "2"}, keep: {builds: 7}}
jobs:
  - name: folder/unit
    description: All of it
    disabled: true
    node: trusty || precise
    timeout: 20m
    timeout_result: ABORTED
    timeout_var: BUILD_TIMEOUT
    publish_timeout: 90s
    concurrent: false
    throttle: {group: heavy, max: 2}
    workspace: {custom: /srv/work}
    scm: {git: {url: "https://git.example.org/x", ref: refs/heads/main, commit: "", clean: false, submodules: true,
                folder: src}}
    env: {B: "3", C: "4"}
    params: {TARGET: staging}
    allow_params: [LD_PRELOAD]
    credentials:
      TOKEN: token
      USER_NAME: {username: account}
      PASSWORD: {password: account}
      SETTINGS: {file: settings}
      SSH_AUTH_SOCK: {ssh-agent: [key, second-key]}
    steps:
      - shell: make
      - {name: lint, shell: ./lint.sh, when: [failure, UNSTABLE], timeout: 5m, env: {D: "5"}, keep_processes: true,
         essential: false}
      - trigger: {jobs: [deploy, other], params: {X: "${Y}"}, pass_params: true, wait: true}
        name: downstream
        when: always
        essential: false
    publish:
      - artifacts: {paths: ["log/**", "*.txt"], excludes: "log/tmp/**", allow_empty: true}
        when: success
      - junit: {paths: "**/TEST-*.xml", on_failure: failure}
      - copy:
          site: logs
          files:
            - {source: "docs/**", excludes: "*.tmp", target: "docs/${ZUUL_PROJECT}", keep_hierarchy: true}
            - {copy_console: true, copy_after_failure: true}
      - script: {steps: [{shell: ./report}], marks: UNSTABLE}
    clean_first: true
    cleanup: always
    keep: {days: forever, builds: 200}
    retry_infra: 2
  - name: least
    steps: [{shell: "true"}]
"""


def definitions(folder: Path, jobs: str) -> Definitions:
    """Of jobs.yaml with this text, beside sites and secrets that it may name."""
    for name, text in {"jobs.yaml": textwrap.dedent(jobs), "nodes.yaml": NODES, "secrets.yaml": SECRETS}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return load(
        Sources(jobs=folder / "jobs.yaml", nodes=folder / "nodes.yaml", secrets=folder / "secrets.yaml"),
    )


def test_every_key_has_its_meaning(tmp_path: Path) -> None:
    found = definitions(tmp_path, FULL)
    assert found.problems == ()
    assert found.jobs["folder/unit"] == Job(
        name="folder/unit",
        place=Place(str(tmp_path / "jobs.yaml"), 4, 5),
        description="All of it",
        disabled=True,
        node=parse("trusty || precise"),
        timeout=1200,
        timeout_result="ABORTED",
        timeout_variable="BUILD_TIMEOUT",
        publish_timeout=90,
        concurrent=False,
        throttle=Throttle(group="heavy", most=2),
        workspace="/srv/work",
        scm=Git(
            url="https://git.example.org/x",
            ref="refs/heads/main",
            commit="",
            clean=False,
            submodules=True,
            folder="src",
        ),
        env={"A": "1", "B": "3", "C": "4"},
        params={"TARGET": "staging"},
        allow_params=("LD_PRELOAD",),
        credentials=(
            Credential(variable="TOKEN", secret="token"),
            Credential(variable="USER_NAME", secret="account", kind="username"),
            Credential(variable="PASSWORD", secret="account", kind="password"),
            Credential(variable="SETTINGS", secret="settings", kind="file"),
            Credential(variable="SSH_AUTH_SOCK", secret="key", kind="ssh-agent"),
            Credential(variable="SSH_AUTH_SOCK", secret="second-key", kind="ssh-agent"),
        ),
        steps=(
            Shell(text="make"),
            Shell(
                text="./lint.sh",
                name="lint",
                when=("failure", "UNSTABLE"),
                timeout=300,
                env={"D": "5"},
                keep_processes=True,
                essential=False,
            ),
            Trigger(
                jobs=("deploy", "other"),
                parameters={"X": "${Y}"},
                pass_parameters=True,
                wait=True,
                name="downstream",
                when=("always",),
                essential=False,
            ),
        ),
        publish=(
            Artifacts(paths=("log/**", "*.txt"), excludes=("log/tmp/**",), allow_empty=True, when=("success",)),
            JUnit(paths=("**/TEST-*.xml",), on_failure="failure"),
            Copy(
                site="logs",
                files=(
                    CopyFiles(
                        source="docs/**", excludes=("*.tmp",), target="docs/${ZUUL_PROJECT}", keep_hierarchy=True
                    ),
                    CopyFiles(copy_console=True, copy_after_failure=True),
                ),
            ),
            Script(steps=(Shell(text="./report"),), marks="UNSTABLE"),
        ),
        clean_first=True,
        cleanup="always",
        keep=Keep(days=None, builds=200),
        retry_infra=2,
    )


def test_a_job_without_a_key_has_that_of_defaults_or_the_built_in_one(tmp_path: Path) -> None:
    least = definitions(tmp_path, FULL).jobs["least"]
    assert (least.timeout, least.cleanup, least.env) == (5400, "success", {"A": "1", "B": "2"})
    assert least.keep == Keep(days=30, builds=7)
    assert (least.node, least.concurrent, least.publish_timeout, least.disabled) == (None, True, 600, False)


@pytest.mark.parametrize(
    ("text", "expected"), [("45s", 45), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("1w", 604800), ("1h30m", 5400)]
)
def test_durations_have_units(tmp_path: Path, text: str, expected: int) -> None:
    jobs = f'jobs: [{{name: a, steps: [{{shell: "true"}}], timeout: {text}}}]'
    assert definitions(tmp_path, jobs).jobs["a"].timeout == expected


# What stands in the second of three jobs; where the mistake is, as line below its `- name` and column; what is said.
REFUSED = [
    ("unknown key", "stpes: []", "4:5", "extra keys not allowed: 'stpes' (did you mean 'steps'?)"),
    ("no expression", "node: a && (b", "4:11", "at its character 6: the parenthesis is not closed"),
    ("label with colon", "node: a:b", "4:11", "at its character 2: a label can not have a colon"),
    ("node is a list", "node: [a]", "4:11", "expected str"),
    ("number as duration", "timeout: 30", "4:14", "expected a duration (a number and s, m, h, d or w"),
    ("no duration", "timeout: soon", "4:14", "'soon' is no duration"),
    ("no time at all", "timeout: 0m", "4:14", "'0m' is no duration"),
    ("no truth", "concurrent: maybe", "4:17", "expected bool"),
    ("number in env", "env: {PORT: 8080}", "4:17", "expected str (put it in quotes)"),
    ("no name of a variable", "env: {A-B: x}", "4:11", "'A-B' can not be the name of a variable"),
    ("NUL", 'env: {A: "x\\0"}', "4:14", "the text has a NUL character"),
    ("unknown clean-up", "cleanup: sometimes", "4:14", "one of always, never, success"),
    ("unknown kind of publisher", "publish: [{artefacts: {paths: x}}]", "4:15", "did you mean 'artifacts'?"),
    ("two kinds of publisher", "publish: [{junit: {paths: x}, copy: {}}]", "4:35", "make them two entries"),
    ("publisher without paths", "publish: [{artifacts: {}}]", "4:27", "required key not provided: 'paths'"),
    ("no paths", "publish: [{artifacts: {paths: []}}]", "4:35", "expected at least one path"),
    ("absolute path", "publish: [{artifacts: {paths: /etc/passwd}}]", "4:35", "this is an absolute one"),
    ("path that goes up", "publish: [{junit: {paths: a/../../b}}]", "4:31", "can not go up"),
    ("unknown site", "publish: [{copy: {site: log, files: [{source: x}]}}]", "4:29", "did you mean 'logs'?"),
    ("nothing to copy", "publish: [{copy: {site: logs, files: [{target: x}]}}]", "4:43", "nothing to copy"),
    ("no files to copy", "publish: [{copy: {site: logs, files: []}}]", "4:42", "at least one entry"),
    ("unknown mark", "publish: [{script: {steps: [{shell: x}], marks: BAD}}]", "4:53", "one of FAILURE, POST_FAILURE"),
    ("unknown result", "publish: [{junit: {paths: x, on_failure: bad}}]", "4:46", "one of failure, unstable"),
    ("unknown secret", "credentials: {A: tokn}", "4:22", "there is no secret 'tokn' (did you mean 'token'?)"),
    ("secret of another form", "credentials: {A: key}", "4:22", "the secret 'key' has no text (it has private_key)"),
    ("unknown form", "credentials: {A: {secret: token}}", "4:23", "extra keys not allowed: 'secret'"),
    ("two forms", "credentials: {A: {text: token, file: token}}", "4:22", "expected one key"),
    ("variable with dash", "credentials: {A-B: token}", "4:19", "can not be the name of a variable"),
    ("other system", "scm: {svn: {}}", "4:10", "required key not provided: 'git'"),
    ("option as ref", "scm: {git: {ref: --upload-pack=x}}", "4:22", "as an option of git does"),
    ("folder outside", "scm: {git: {folder: ../x}}", "4:25", "can not go up"),
    ("plain workspace", "workspace: /srv/x", "4:16", "write {custom: /srv/x}"),
    ("relative workspace", "workspace: {custom: x}", "4:25", "expected an absolute path"),
    ("no throttle", "throttle: {group: x, max: 0}", "4:31", "value must be at least 1"),
    ("throttle without group", "throttle: {max: 1}", "4:15", "required key not provided: 'group'"),
    ("kept for no day", "keep: {days: 0}", "4:18", "value must be at least 1"),
    ("kept for what", "keep: {days: long}", "4:18", "expected a number or forever"),
    ("too many tries", "retry_infra: 11", "4:18", "value must be at most 10"),
    ("matrix", "axes: {python: [a, b]}", "4:5", "matrix jobs are not supported (write one job for each combination)"),
    ("second job of a name", "name: first", "3:5", "a second job of this name"),
    ("name with colon", "name: a:b", "3:11", "a job's name can not have a colon"),
    ("name that goes up", "name: ../x", "3:11", "each part of a job's name is a folder"),
    ("name as a folder", "name: x/", "3:11", "each part of a job's name is a folder"),
    ("name with a line break", 'name: "a\\nb"', "3:11", "not to be seen"),
    ("name that is too long", f"name: {'x' * 201}", "3:11", "can have 200 bytes"),
    ("no name", 'name: ""', "3:11", "expected a name"),
    ("no steps", "steps: []", "4:12", "expected at least one step"),
    ("steps are a text", "steps: make", "4:12", "expected a list of steps"),
    ("step as text", "steps: [make]", "4:13", "expected a dictionary (with one of shell, trigger)"),
    ("unknown step", "steps: [{shel: make}]", "4:13", "did you mean 'shell'?"),
    ("empty script", 'steps: [{shell: " "}]', "4:21", "the script is empty"),
    ("script with NUL", 'steps: [{shell: "a\\0"}]', "4:21", "NUL"),
    ("unknown key of a step", "steps: [{shell: x, whens: always}]", "4:24", "did you mean 'when'?"),
    ("unknown when", "steps: [{shell: x, when: never}]", "4:30", "not a valid value"),
    ("trigger without jobs", "steps: [{trigger: {}}]", "4:23", "required key not provided: 'jobs'"),
    ("trigger of nothing", "steps: [{trigger: {jobs: []}}]", "4:30", "expected at least one job"),
    ("trigger of a colon", "steps: [{trigger: {jobs: a:b}}]", "4:30", "can not have a colon"),
]
_IDS = [one[0] for one in REFUSED]


def jobs_with(addition: str) -> str:
    """Three jobs; the addition, which may overwrite its name or steps, stands in the second."""
    key = addition.split(":")[0]
    name = addition if key == "name" else "name: broken"
    steps = [] if key == "steps" else ['    steps: [{shell: "true"}]']
    rest = [] if key == "name" else [f"    {addition}"]
    good = '  - {{name: {0}, steps: [{{shell: "true"}}]}}'
    return "\n".join(["jobs:", good.format("first"), f"  - {name}", *rest, *steps, good.format("last"), ""])


@pytest.mark.parametrize(("name", "addition", "place", "message"), REFUSED, ids=_IDS)
def test_a_mistake_refuses_its_job_alone(tmp_path: Path, name: str, addition: str, place: str, message: str) -> None:
    """D10, D11. Bad expression: that project is refused with position, others stay. Name with `:` refused at load."""
    found = definitions(tmp_path, jobs_with(addition))
    assert set(found.jobs) == {"first", "last"}
    (problem, *more) = found.problems
    assert (problem.split(" ")[0], message in problem) == (f"{tmp_path}/jobs.yaml:{place}:", True), problem
    assert "is not registered" in problem
    assert len(more) == (name == "other system"), more


def test_all_mistakes_of_a_job_are_told_at_once(tmp_path: Path) -> None:
    jobs = """
        jobs:
          - name: broken
            node: (
            timeout: 1
            steps: [{shell: x, when: never}]
    """
    found = definitions(tmp_path, jobs)
    places = [one.split(": ")[0].removeprefix(f"{tmp_path}/") for one in found.problems]
    assert places == ["jobs.yaml:4:11", "jobs.yaml:5:14", "jobs.yaml:6:30"]
    assert all("job 'broken' is not registered" in one for one in found.problems)


def test_every_job_that_shares_a_mistake_by_an_alias_is_refused(tmp_path: Path) -> None:
    jobs = """
        jobs:
          - {name: a, steps: &steps [{shell: x, when: never}]}
          - {name: b, steps: *steps}
          - {name: c, steps: [{shell: x}]}
    """
    found = definitions(tmp_path, jobs)
    assert set(found.jobs) == {"c"}
    assert [one.split("'")[1] for one in found.problems] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("jobs: [{name: a, steps: [}]", "1:26", "while parsing a flow node"),
        ("jobs: []\njob: []", "2:1", "extra keys not allowed: 'job' (did you mean 'jobs'?)"),
        ("defaults: {timeouts: 3m}", "1:12", "extra keys not allowed: 'timeouts' (did you mean 'timeout'?)"),
        ("defaults: {timeout: 3}", "1:21", "expected a duration"),
        ("defaults: {steps: []}", "1:12", "extra keys not allowed: 'steps'"),
        ("jobs: {name: a}", "1:7", "expected a list"),
        ("- name: a", "1:1", "expected a dictionary"),
        ("jobs: [{name: a, name: b, steps: [{shell: x}]}]", "1:18", "duplicate key 'name'"),
        ("jobs: [{name: !!python/name:os.system a}]", "1:15", "tag !!python/name:os.system is not allowed"),
    ],
)
def test_a_mistake_outside_of_jobs_refuses_the_file(tmp_path: Path, text: str, place: str, message: str) -> None:
    """D79. Reload with a broken file: old jobs stay, error reported. (Whoever reloads keeps what it has.)"""
    with pytest.raises(FileErrors) as caught:
        definitions(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/jobs.yaml:{place}: {message}")


def test_a_folder_is_all_of_its_files(tmp_path: Path) -> None:
    for name, jobs in {"b.yaml": ("two", "one"), "a.yml": ("one",), ".c.yaml": ("c",), "d.txt": ("d",)}.items():
        text = "".join(f"  - {{name: {job}, steps: [{{shell: x}}]}}\n" for job in jobs)
        (tmp_path / name).write_text(f"jobs:\n{text}")
    found = load(Sources(jobs=tmp_path))
    assert {name: job.place for name, job in found.jobs.items()} == {
        "one": Place(f"{tmp_path}/a.yml", 2, 5),
        "two": Place(f"{tmp_path}/b.yaml", 2, 5),
    }
    assert found.problems == (
        f"{tmp_path}/b.yaml:3:5: job 'one' is not registered: a second job of this name"
        f" (the first is in {tmp_path}/a.yml:2)",
    )


def test_defaults_are_those_of_their_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("defaults: {timeout: 1m}\njobs: [{name: a, steps: [{shell: x}]}]")
    (tmp_path / "b.yaml").write_text("jobs: [{name: b, steps: [{shell: x}]}]")
    assert {name: job.timeout for name, job in load(Sources(jobs=tmp_path)).jobs.items()} == {"a": 60, "b": 1800}


def test_all_files_that_are_wrong_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("jobs: [")
    (tmp_path / "b.yaml").write_text("jbos: []")
    (tmp_path / "nodes").write_text("nodes: [{}]")
    with pytest.raises(FileErrors) as caught:
        load(Sources(jobs=tmp_path, nodes=tmp_path / "nodes", secrets=tmp_path / "missing"))
    assert [Path(one.file).name for one in caught.value.problems] == ["a.yaml", "b.yaml", "nodes", "missing"]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileErrors, match=r"jobs\.yaml:1:1: the file can not be read: No such file"):
        load(Sources(jobs=tmp_path / "jobs.yaml"))


def test_no_files_give_nothing() -> None:
    assert load(Sources()) == Definitions()


def test_the_samples_are_right(tmp_path: Path) -> None:
    etc = Path(__file__).parents[3] / "etc"
    (tmp_path / "secrets.yaml").write_text("deploy-token: {text: x}")
    (tmp_path / "secrets.yaml").chmod(0o600)
    found = load(
        Sources(jobs=etc / "jobs.yaml-sample", nodes=etc / "nodes.yaml-sample", secrets=tmp_path / "secrets.yaml")
    )
    assert found.problems == ()
    assert set(found.jobs) == {"unit", "deploy"}
    assert found.nodes["built-in"].executors == 2
