"""Each part of a job of Jenkins Job Builder: what comes of it, or why the job is not registered."""

from pathlib import Path
from typing import Any

import pytest

from zuul_launcher.worker.definitions.jjbcheck import check
from zuul_launcher.worker.definitions.job import (
    Artifacts,
    Copy,
    CopyFiles,
    Credential,
    Git,
    Job,
    JUnit,
    Keep,
    Script,
    Shell,
    Trigger,
)
from zuul_launcher.worker.definitions.labels import parse

GIT = "scm: [{{git: {{url: 'https://git/$ZUUL_PROJECT', {}}}}}]"
CLONE = "https://git/${ZUUL_PROJECT}"
POST = "publishers: [{{postbuildscript: {{builders: [{{build-steps: [shell: x], {}}}]}}}}]"


def translated(folder: Path, part: str) -> tuple[Job | None, tuple[str, ...]]:
    """Of a job with this part alone."""
    (folder / "job.yaml").write_text(f"- job:\n    name: a\n    {part}\n")
    report = check(folder / "job.yaml")
    return next(iter(report.jobs.values()), None), report.lines


# A part, a field of the job, and what it is then.
SUPPORTED: list[tuple[str, str, Any]] = [
    ("description: hello", "description", "hello"),
    ("disabled: true", "disabled", True),
    ("node: a && !b", "node", parse("a && !b")),
    ("concurrent: true", "concurrent", True),
    ("concurrent: 'true'", "concurrent", True),
    ("builders: []", "concurrent", False),
    ("workspace: /srv/work", "workspace", "/srv/work"),
    ("logrotate: {daysToKeep: 3, numToKeep: -1}", "keep", Keep(days=3, builds=None)),
    ("logrotate:", "keep", Keep(days=30)),
    ("project-type: freestyle", "name", "a"),
    ("folder: team", "name", "team/a"),
    ("builders: [shell: 'x y']", "steps", (Shell(text="x y"),)),
    ("builders: [shell: {command: x, unstable-return: 0}]", "steps", (Shell(text="x"),)),
    (
        "builders: [trigger-builds: [{project: 'b, c'}, {project: ''}]]",
        "steps",
        (Trigger(jobs=("b", "c")),),
    ),
    (
        "builders: [trigger-builds: [{project: b, block: true, block-thresholds: {failure-threshold: failure}}]]",
        "steps",
        (Trigger(jobs=("b",), wait=True),),
    ),
    (
        "builders: [trigger-builds: [{project: b, block: true, block-thresholds: {failure-threshold: never,"
        " unstable-threshold: never, build-step-failure-threshold: never}}]]",
        "steps",
        (Trigger(jobs=("b",), wait=True, essential=False),),
    ),
    (
        'builders: [trigger-builds: [{project: b, predefined-parameters: "A=$X-${{Y}}\\n\\n#c\\nB = c=d"}]]',
        "steps",
        (Trigger(jobs=("b",), parameters={"A": "${X}-${Y}", "B": "c=d"}),),
    ),
    ("wrappers: [timeout: {timeout: 20}]", "timeout", 1200),
    ("wrappers: [timeout: {timeout: 20}]", "timeout_result", "TIMED_OUT"),
    ("wrappers: [timeout: {timeout: '20', abort: true}]", "timeout_result", "ABORTED"),
    ("wrappers: [timeout: {fail: true}]", "timeout", 180),
    ("wrappers: [timeout: {fail: true}]", "timeout_result", "FAILURE"),
    ("wrappers: [timeout: {timeout-var: T}]", "timeout_variable", "T"),
    ("wrappers: [timestamps, ansicolor]", "timeout", 1800),
    ("wrappers: [workspace-cleanup]", "clean_first", True),
    (
        "wrappers: [ssh-agent-credentials: {user: key}]",
        "credentials",
        (Credential(variable="SSH_AUTH_SOCK", secret="key", kind="ssh-agent"),),
    ),
    (
        "wrappers: [credentials-binding: [ssh-user-private-key: {credential-id: k, key-file-variable: F,"
        " username-variable: U}]]",
        "credentials",
        (Credential(variable="F", secret="k", kind="file"), Credential(variable="U", secret="k", kind="username")),
    ),
    ("properties: [build-discarder: {days-to-keep: -1, num-to-keep: 9}]", "keep", Keep(days=None, builds=9)),
    ("parameters: [string: {name: P, default: 1}]", "params", {"P": "1"}),
    ("parameters: [string: {name: P}]", "params", {}),
    ("parameters: [bool: {name: P, default: true}]", "params", {"P": "true"}),
    ("parameters: [choice: {name: P, choices: [x, y]}]", "params", {"P": "x"}),
    ("parameters: [label: {name: NODE, default: x}]", "params", {"NODE": "x"}),
    ("triggers: [zuul, zuul-post]", "params", {}),
    (GIT.format("refspec: $ZUUL_REF, branches: [FETCH_HEAD]"), "scm", Git(url=CLONE, ref="${ZUUL_REF}", commit="")),
    (
        GIT.format("refspec: '+$ZUUL_REF:x', branches: ['$ZUUL_COMMIT']"),
        "scm",
        Git(url=CLONE, ref="${ZUUL_REF}", commit="${ZUUL_COMMIT}"),
    ),
    (GIT.format("branches: ['$ZUUL_COMMIT']"), "scm", Git(url=CLONE)),
    (GIT.format("refspec: a b, branches: [x]"), "scm", Git(url=CLONE, ref="refs/heads/x", commit="")),
    (GIT.format("refspec: 'a/*:b/*', branches: [x]"), "scm", Git(url=CLONE, ref="refs/heads/x", commit="")),
    (GIT.format(f"refspec: a, branches: [{'0a' * 20}]"), "scm", Git(url=CLONE, ref="a", commit="0a" * 20)),
    (GIT.format("branches: ['*/main']"), "scm", Git(url=CLONE, ref="refs/heads/main", commit="")),
    (GIT.format("branches: [refs/tags/1.0]"), "scm", Git(url=CLONE, ref="refs/tags/1.0", commit="")),
    (GIT.format("branches: [$ZUUL_BRANCH]"), "scm", Git(url=CLONE, ref="refs/heads/${ZUUL_BRANCH}", commit="")),
    (
        GIT.format("branches: [x], wipe-workspace: false, submodule: {recursive: true}, basedir: src"),
        "scm",
        Git(url=CLONE, ref="refs/heads/x", commit="", clean=False, submodules=True, folder="src"),
    ),
    (
        GIT.format("branches: [x], wipe-workspace: false, clean: {after: true}"),
        "scm",
        Git(url=CLONE, ref="refs/heads/x", commit=""),
    ),
    (
        "scm: [git: {remotes: [origin: {url: u}], branches: [x]}]",
        "scm",
        Git(url="u", ref="refs/heads/x", commit=""),
    ),
    ("publishers: [archive: {artifacts: 'a/, ./b'}]", "publish", (Artifacts(paths=("a/**", "b")),)),
    (
        "publishers: [archive: {artifacts: a, fingerprint: true, latest-only: true}]",
        "publish",
        (Artifacts(paths=("a",)),),
    ),
    ("publishers: [junit: {results: '*.xml'}]", "publish", (JUnit(paths=("*.xml",)),)),
    (
        "publishers: [xunit: {types: [junit: {pattern: '*.xml', skip-if-no-test-files: true}]}]",
        "publish",
        (JUnit(paths=("*.xml",), allow_empty=True),),
    ),
    ("publishers: [xunit: {types: [phpunit: {pattern: x}]}]", "publish", (JUnit(paths=("x",)),)),
    (
        "publishers: [xunit: {types: [junit: {pattern: '*.xml'}], thresholds: [failed: {unstable: 0, failure: 0}]}]",
        "publish",
        (JUnit(paths=("*.xml",), on_failure="failure"),),
    ),
    (
        "publishers: [xunit: {types: [junit: {pattern: x}],"
        " thresholds: [failed: {unstable: 0}, skipped: {failure: ''}]}]",
        "publish",
        (JUnit(paths=("x",)),),
    ),
    (
        "publishers: [scp: {site: s, files: [{target: /x/$A/, source: 'a,b', copy-console: true}]}]",
        "publish",
        (
            Copy(
                site="s",
                files=(
                    CopyFiles(source="a", target="x/${A}"),
                    CopyFiles(source="b", target="x/${A}"),
                    CopyFiles(target="x/${A}", copy_console=True),
                ),
            ),
        ),
    ),
    (POST.format("build-on: [UNSTABLE]"), "publish", (Script(steps=(Shell(text="x"),), when=("UNSTABLE",)),)),
    (POST.format("role: SLAVE"), "publish", (Script(steps=(Shell(text="x"),), when=("SUCCESS",)),)),
    ("publishers: [workspace-cleanup]", "cleanup", "always"),
    ("publishers: [workspace-cleanup: {clean-if: [not-built: false]}]", "cleanup", "always"),
    (
        "publishers: [workspace-cleanup: {clean-if: [failure: false, unstable: false, aborted: false]}]",
        "cleanup",
        "success",
    ),
]

# A part, and what is said of it.
UNSUPPORTED: list[tuple[str, str]] = [
    ("node: a &&", "node: no label expression, at its character 5: the expression ends here, a label is missing"),
    ("node: 'a:b'", "node: no label expression, at its character 2: a label can not have a colon"),
    ("folder: 'x:y'", "name: a job's name can not have a colon: it parts the names of functions"),
    ("workspace: work", "workspace: only absolute paths without variables are supported"),
    ("workspace: /srv/$JOB_NAME", "workspace: only absolute paths without variables are supported"),
    ("jdk: java8", "jdk: not supported"),
    ("raw: {xml: <x/>}", "raw: not supported"),
    ("block-upstream: true", "block-upstream: not supported"),
    ("project-type: maven", "project-type maven: not supported"),
    ("triggers: [gerrit: {}]", "trigger gerrit: not supported"),
    ("reporters: [email: {}]", "reporter email: not supported"),
    ("properties: [throttle: {max-total: 1}]", "property throttle: not supported"),
    ("parameters: [password: {name: P}]", "parameter password: not supported"),
    ("parameters: [string: {name: A B}]", "parameter string: 'A B' can not be the name of a parameter"),
    ("builders: [ant: x]", "builder ant: not supported"),
    ("builders: [shell: {command: x, unstable-return: 2}]", "builder shell: unstable-return is not supported"),
    ('builders: [shell: "a\\0b"]', "builder shell: the text has a NUL character"),
    ("builders: [shell: [a]]", "builder shell: expected a text"),
    ("builders: [shell: {command: ''}]", "builder shell: command is missing"),
    (
        "builders: [trigger-builds: [{project: 'x:y'}]]",
        "builder trigger-builds: 'x:y': a job's name can not have a colon",
    ),
    (
        "builders: [trigger-builds: [{project: b, same-node: true}]]",
        "builder trigger-builds: same-node is not supported",
    ),
    (
        "builders: [trigger-builds: [{project: b, predefined-parameters: 'A'}]]",
        "builder trigger-builds: predefined-parameters: 'A' is not supported, only NAME=VALUE",
    ),
    (
        "builders: [trigger-builds: [{project: b, block: true, block-thresholds: {unstable-threshold: never}}]]",
        "builder trigger-builds: block-thresholds are not supported, but for the usual ones",
    ),
    ("builders: [trigger-builds: {project: b}]", "builder trigger-builds: trigger-builds: expected a list"),
    ("wrappers: [timeout: {type: elastic}]", "wrapper timeout: type elastic is not supported, only absolute"),
    ("wrappers: [timeout: {timeout: soon}]", "wrapper timeout: timeout: expected a number"),
    ("wrappers: [timeout: {timeout: 0}]", "wrapper timeout: timeout: expected a number of minutes"),
    ("wrappers: [timeout: {timeout-var: A-B}]", "wrapper timeout: 'A-B' can not be the name of a variable"),
    ("wrappers: [timeout: {abort-and-restart: true}]", "wrapper timeout: abort-and-restart is not supported"),
    ("wrappers: [inject: {}]", "wrapper inject: not supported"),
    ("wrappers: [workspace-cleanup: {include: [x]}]", "wrapper workspace-cleanup: include is not supported"),
    (
        "wrappers: [credentials-binding: [zip-file: {credential-id: x, variable: Y}]]",
        "wrapper credentials-binding: zip-file is not supported",
    ),
    ("wrappers: [credentials-binding: [text: {variable: Y}]]", "wrapper credentials-binding: credential-id is missing"),
    (
        "wrappers: [config-file-provider: {files: [{file-id: x, target: y}]}]",
        "wrapper config-file-provider: target is not supported",
    ),
    ("scm: [svn: {}]", "scm svn: not supported"),
    ("scm: [git: {branches: [x]}]", "scm git: url is missing"),
    (GIT.format("branches: [x, y]"), "scm git: more than one branch is not supported"),
    (GIT.format("branches: ['feature/*']"), "scm git: the branch feature/* may be any one: it is not supported"),
    (GIT.format("name: origin"), "scm git: the branch ** may be any one: it is not supported"),
    (GIT.format("refspec: $R, branches: [x]"), "scm git: the branch x beside a refspec is not supported"),
    (GIT.format("branches: [x], credentials-id: y"), "scm git: credentials-id is not supported"),
    (GIT.format("branches: [x], basedir: ../y"), "scm git: basedir: a path can not go up with .."),
    (GIT.format("branches: [x], choosing-strategy: inverse"), "scm git: choosing-strategy inverse is not supported"),
    ("scm: [git: {remotes: [a: {url: x}, b: {url: y}]}]", "scm git: more than one remote is not supported"),
    (
        "scm: [git: {url: u, branches: [x]}, git: {url: v, branches: [y]}]",
        "scm git: a second repository is not supported",
    ),
    ("publishers: [archive: {artifacts: /etc/passwd}]", "publisher archive: '/etc/passwd': expected a path below"),
    ("publishers: [archive: {artifacts: ../x}]", "publisher archive: '../x': a path can not go up with .."),
    ("publishers: [archive: {artifacts: $X/a}]", "publisher archive: a variable in the path '$X/a' is not supported"),
    ("publishers: [archive: {artifacts: a, case-sensitive: false}]", "publisher archive: case-sensitive: false is not"),
    (
        "publishers: [archive: {artifacts: a, follow-symlinks: true}]",
        "publisher archive: follow-symlinks is not supported",
    ),
    ("publishers: [junit: {}]", "publisher junit: results is missing"),
    (
        "publishers: [xunit: {types: [gtest: {pattern: x}]}]",
        "publisher xunit: type gtest is not supported, only junit and phpunit",
    ),
    (
        "publishers: [xunit: {types: [], thresholds: [failed: {failure: 3}]}]",
        "publisher xunit: thresholds above 0 are not supported",
    ),
    (
        "publishers: [xunit: {types: [], thresholds: [skipped: {failure: 0}]}]",
        "publisher xunit: thresholds of skipped tests are not supported",
    ),
    ("publishers: [scp: {site: s, files: [{source: x}]}]", "publisher scp: target is missing"),
    ("publishers: [scp: {site: s, files: [{target: ../x}]}]", "publisher scp: target '../x': a path can not go up"),
    ("publishers: [scp: {site: s, files: [], keep: 1}]", "publisher scp: keep is not supported"),
    ("publishers: [scp: {site: s, files: [{target: x, mode: 1}]}]", "publisher scp: mode is not supported"),
    (
        "publishers: [junit: {results: x, junit-attachments: true}]",
        "publisher junit: junit-attachments is not supported",
    ),
    ("publishers: [scp: {files: []}]", "publisher scp: site is missing"),
    (POST.format("role: MASTER"), "publisher postbuildscript: role MASTER is not supported"),
    (POST.format("build-on: [GREEN]"), "publisher postbuildscript: build-on GREEN is not supported"),
    (
        "publishers: [postbuildscript: {builders: [shell: x]}]",
        "publisher postbuildscript: builders without build-steps",
    ),
    (
        "publishers: [postbuildscript: {builders: [{build-steps: [ant: x]}]}]",
        "publisher postbuildscript: builder ant: not supported",
    ),
    ("publishers: [postbuildscript: {groovy: [{content: x}]}]", "publisher postbuildscript: groovy is not supported"),
    (
        "publishers: [workspace-cleanup: {clean-if: [success: false]}]",
        "publisher workspace-cleanup: clean-if: only all",
    ),
    ("publishers: [workspace-cleanup: {exclude: [x]}]", "publisher workspace-cleanup: exclude is not supported"),
]


@pytest.mark.parametrize(("part", "field", "expected"), SUPPORTED)
def test_a_part_that_is_supported_becomes_what_it_means(tmp_path: Path, part: str, field: str, expected: Any) -> None:
    job, lines = translated(tmp_path, part)
    assert lines == ()
    assert getattr(job, field) == expected


@pytest.mark.parametrize(("part", "expected"), UNSUPPORTED)
def test_a_part_that_is_not_supported_keeps_the_job_out(tmp_path: Path, part: str, expected: str) -> None:
    """D95. What has no translation is listed, and its job not registered."""
    job, (line,) = translated(tmp_path, part)
    assert job is None
    assert line.removeprefix("a: ").removeprefix("x:y/a: ").startswith(expected), line


def test_the_console_is_copied_though_the_build_failed_if_so_said(tmp_path: Path) -> None:
    """D96. `scp` with copy-console: what is copied last is the console, for failed builds, too."""
    part = "publishers: [scp: {site: s, files: [{target: x, copy-console: true, copy-after-failure: true}]}]"
    job, _ = translated(tmp_path, part)
    assert job is not None
    assert job.publish == (Copy(site="s", files=(CopyFiles(target="x", copy_console=True, copy_after_failure=True),)),)


def test_all_parts_of_a_job_are_told_at_once(tmp_path: Path) -> None:
    _, lines = translated(tmp_path, "jdk: x\n    builders: [ant: x, shell: y, ant: z]\n    publishers: [ircbot, afs]")
    assert lines == (
        "a: jdk: not supported",
        "a: builder ant: not supported",
        "a: builder ant: not supported",
        "a: publisher afs: not supported",
    )
