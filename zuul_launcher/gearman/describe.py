"""The HTML that a build is described with where it ran: pure, plain values in, one text out.

Rule: everything is escaped, and only http and https addresses become links; a change's owner must not be able to
write into the page of the build system.
"""

from collections.abc import Iterable
from html import escape

from msgspec import Struct

from zuul_launcher.model.change import Change, Ref, Subject


class DescribedBuild(Struct, frozen=True, kw_only=True):
    """What the description says of one build."""

    job: str
    number: int | str | None = None
    url: str | None = None
    result: str | None = None


def describe(
    subject: Subject,
    pipeline: str,
    builds: Iterable[DescribedBuild],
    *,
    concurrent: Iterable[Change] = (),
    preceded_by: DescribedBuild | None = None,
    succeeded_by: DescribedBuild | None = None,
    result: str | None = None,
) -> str:
    """Describe one build among those of its build set.

    `concurrent` are the changes ahead when the merge was asked for, `preceded_by` and `succeeded_by` are builds of
    the same job in the neighbouring build sets, `result` is what was reported.
    """
    blocks = [_trigger(subject, pipeline)]
    others = [_item(_link(change.url, change.id)) for change in concurrent]
    if others:
        blocks.append(f"Other changes tested concurrently with this change:<ul>{''.join(others)}</ul>")
    sorted_builds = sorted(builds, key=lambda build: build.job)
    lines = [_item(f"{_build(build)}: {escape(str(build.result))}") for build in sorted_builds]
    if lines:
        blocks.append(f"All builds for this change set:<ul>{''.join(lines)}</ul>")
    neighbours = [
        _item(word + _build(build))
        for word, build in (("Preceded by: ", preceded_by), ("Succeeded by: ", succeeded_by))
        if build
    ]
    if neighbours:
        blocks.append(f"Other build sets for this change:<ul>{''.join(neighbours)}</ul>")
    if result:
        blocks.append(f"Reported result: <b>{escape(result)}</b>")
    return "\n".join(f"<p>{block}</p>" for block in blocks if block)


def _trigger(subject: Subject, pipeline: str) -> str:
    if isinstance(subject, Change):
        lines = [
            f"Triggered by change: {_link(subject.url, subject.id)}",
            f"Branch: <b>{escape(subject.branch)}</b>",
        ]
    elif isinstance(subject, Ref):
        lines = [
            f"Triggered by reference: {escape(subject.ref)}",
            f"Old revision: <b>{escape(subject.oldrev)}</b>",
            f"New revision: <b>{escape(subject.newrev)}</b>",
        ]
    else:  # a timer
        return ""
    return "<br/>\n".join([*lines, f"Pipeline: <b>{escape(pipeline)}</b>"])


def _build(build: DescribedBuild) -> str:
    if not _is_web(build.url):
        return escape(build.job)
    return _link(build.url, build.job if build.number is None else f"{build.job} #{build.number}")


def _link(url: str | None, text: str) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>' if url and _is_web(url) else escape(text)


def _is_web(url: str | None) -> bool:
    return url is not None and url.lower().startswith(("http://", "https://"))


def _item(html: str) -> str:
    return f"<li>{html}</li>"
