"""What a push does: to refs/for/BRANCH it makes changes and patch sets, to a branch or tag it moves it past review."""

from zuul_launcher.sim.gerrit import events
from zuul_launcher.sim.gerrit.git import ZEROS, git
from zuul_launcher.sim.gerrit.message import change_id_in
from zuul_launcher.sim.gerrit.model import Account, Change, FileChange, PatchSet, Refused, carry_votes
from zuul_launcher.sim.gerrit.state import State

KINDS = {"A": "ADDED", "M": "MODIFIED", "D": "DELETED", "R": "RENAMED", "C": "COPIED", "T": "REWRITE"}
LINES_ABOUT_COMMIT = 6  # that Gerrit shows above a commit message, and counts


def push_ref(state: State, project: str, ref: str, new: str, who: Account) -> list[Change]:
    """Does one command of a push, whose commits are stored already; returns the changes made or updated.

    Raises Refused, and then nothing has happened.
    """
    if ref.startswith("refs/for/"):
        branch, _, options = ref.removeprefix("refs/for/").partition("%")
        return push_for_review(state, project, branch.removeprefix("refs/heads/"), new, who, _topic(options))
    if who.username != "admin" or not ref.startswith(("refs/heads/", "refs/tags/")):
        is_there = bool(git(state.repository(project), "for-each-ref", ref))
        verb = "delete" if new == ZEROS else "update" if is_there else "create"
        raise Refused(f"prohibited by Gerrit: not permitted: {verb}")
    state.move_branch(project, ref, new, who)
    return []


def push_for_review(state: State, project: str, branch: str, tip: str, who: Account, topic: str = "") -> list[Change]:
    """Makes a change or a patch set of each commit that is new, parents first. Raises Refused as a whole."""
    if tip == ZEROS or not state.head(project, branch):
        raise Refused(f"branch {branch} not found")
    repository = state.repository(project)
    commits = git(repository, "rev-list", "--reverse", tip, "--not", "--branches").split()
    planned: list[tuple[str, str, str, Change | None]] = []
    for commit in commits:
        if state.patch_set_of(project, branch, commit):
            continue
        message = git(repository, "show", "--no-patch", "--format=%B", commit)
        change_id = change_id_in(message)
        if not change_id:
            raise Refused(f"commit {commit[:7]}: missing Change-Id in message footer")
        change = _with_id(state, project, branch, change_id)
        if change is not None and change.status != "NEW":
            raise Refused(f"change {state.base_url}c/{project}/+/{change.number} closed")
        planned.append((commit, message, change_id, change))
    if not planned:
        raise Refused("no new changes")
    return [_take(state, project, branch, plan, who, topic) for plan in planned]


def _take(
    state: State, project: str, branch: str, plan: tuple[str, str, str, Change | None], who: Account, topic: str
) -> Change:
    commit, message, change_id, existing = plan
    change = existing or Change(
        project=project,
        branch=branch,
        number=len(state.changes) + 1,
        change_id=change_id,
        topic=topic,
        owner=who,
        at=state.now(),
    )
    patch_set = _patch_set(state, project, commit, message, len(change.patch_sets) + 1, who)
    fate = carry_votes(change.current, patch_set) if change.patch_sets else ""
    change.patch_sets.append(patch_set)
    state.changes[change.number] = change
    ref = change.ref(patch_set)
    state.move_branch(project, ref, commit, who)
    state.add_message(change, who, f"Uploaded patch set {patch_set.number}.{fate}")
    state.emit(events.patchset_created(state.recorder, change, state.now()))
    if topic and (existing is None or change.topic != topic):
        old, change.topic = change.topic, topic
        state.emit(events.topic_changed(state.recorder, change, who, old, state.now()))
    return change


def _patch_set(state: State, project: str, commit: str, message: str, number: int, who: Account) -> PatchSet:
    repository = state.repository(project)
    parents, name, email = git(repository, "show", "--no-patch", "--format=%P%n%an%n%ae", commit).split("\n")
    author = next((known for known in state.people.values() if known.email == email), Account("", name, email))
    text = message.rstrip("\n") + "\n"
    described = FileChange("/COMMIT_MSG", "ADDED", text.count("\n") + LINES_ABOUT_COMMIT, 0)
    return PatchSet(
        number=number,
        revision=commit,
        parents=parents.split(),
        uploader=who,
        author=author,
        at=state.now(),
        commit_message=text,
        files=[described, *_files(state, project, commit, parents.split())],
    )


def _files(state: State, project: str, commit: str, parents: list[str]) -> list[FileChange]:
    """What the commit changes against its first parent."""
    between = [parents[0], commit] if parents else ["--root", commit]
    output = git(state.repository(project), "diff-tree", "-r", "-z", "-M", "--raw", "--numstat", *between)
    words = output.split("\0")
    kinds: list[str] = []
    files: list[FileChange] = []
    while words and (word := words.pop(0)):
        if word.startswith(":"):
            kinds.append(word.split(" ")[4][0])
            del words[: 2 if kinds[-1] in "RC" else 1]
        elif "\t" in word:
            insertions, deletions, path = word.split("\t", 2)
            kind = KINDS[kinds[len(files)]]
            old_path = "" if path else words.pop(0)
            counts = (0, 0) if insertions == "-" else (int(insertions), int(deletions))
            files.append(FileChange(path or words.pop(0), kind, *counts, old_path))
    return files


def _with_id(state: State, project: str, branch: str, change_id: str) -> Change | None:
    wanted = (project, branch, change_id)
    return next((c for c in state.changes.values() if (c.project, c.branch, c.change_id) == wanted), None)


def _topic(options: str) -> str:
    for option in options.split(","):
        name, _, value = option.partition("=")
        if name == "topic":
            return value
    return ""
