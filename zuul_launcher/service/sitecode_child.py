"""The child process of `sitecode`: loads the site's python files, then calls their functions as it is told.

Started as `python -m zuul_launcher.service.sitecode_child FILE...`. Standard input and output belong to the protocol;
what the site's code prints goes to standard error.
"""

import inspect
import json
import os
import sys
import traceback
from typing import Any


class View:
    """Attributes, nothing else: what a parameter function is shown of an item, a change or a job."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def load(files: list[str]) -> dict[str, Any]:
    """All files in one namespace, in order, as v2 does: no `__file__`, but each compiled under its full path."""
    namespace: dict[str, Any] = {}
    for path in files:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            exec(compile(file.read(), path, "exec"), namespace)  # noqa: S102 - the site's own code, as v2 runs it
    return namespace


def call(namespace: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Call the function that the request names; the parameters that it leaves."""
    function, parameters = namespace[request["function"]], request["parameters"]
    item, job = _views(request["job"], request["context"])
    if _takes_two(function):
        function(item, parameters)
    else:
        function(item, job, parameters)
    return {"parameters": parameters}


def _takes_two(function: Any) -> bool:
    """v2's older form: `function(item, params)`."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return sum(one.kind in kinds for one in given) == 2


def _views(job: str, context: dict[str, Any]) -> tuple[View, View]:
    facts = dict(context["change"])
    if isinstance(facts.get("owner"), dict):
        facts["owner"] = View(**facts["owner"])
    change = View(**facts, project=View(name=context["project"]))
    item = View(
        change=change,
        pipeline=View(name=context["pipeline"]),
        live=context["live"],
        current_build_set=View(**context["build_set"]),
    )
    return item, View(name=job, tags=set(context["tags"]), voting=context["voting"])


def _describe(error: BaseException) -> str:
    """The error and the line of the site's code that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def main(files: list[str]) -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def reply(answer: dict[str, Any]) -> None:
        replies.write(json.dumps(answer).encode() + b"\n")
        replies.flush()

    try:
        namespace = load(files)
    except BaseException as error:  # also SystemExit: whatever the site's code does is told, not done to us
        reply({"error": _describe(error)})
        return
    reply({"ready": True})
    for line in sys.stdin.buffer:
        try:
            answer = call(namespace, json.loads(line))
            json.dumps(answer)
        except BaseException as error:
            answer = {"error": _describe(error)}
        reply(answer)


if __name__ == "__main__":
    main(sys.argv[1:])
