"""known_hosts, as OpenSSH reads it."""

import base64
import subprocess
from pathlib import Path

import pytest

from zuul_launcher.gerrit import hostkeys
from zuul_launcher.gerrit.hostkeys import HostKeyChanged, HostKeyUnknown, KnownKey

KEY, OTHER = b"the key", b"another key"
CODE, OTHER_CODE = base64.b64encode(KEY).decode(), base64.b64encode(OTHER).decode()


def known(tmp_path: Path, text: str, host: str = "review.example.com", port: int = 29418) -> list[KnownKey]:
    file = tmp_path / "known_hosts"
    file.write_text(text)
    return hostkeys.read([tmp_path / "missing", file], host, port)


@pytest.mark.parametrize(
    "names",
    [
        "[review.example.com]:29418",
        "other,[review.example.com]:29418",
        "[REVIEW.example.com]:29418",
        "[*.example.com]:29418",
        "[review.example.co?]:*",
    ],
)
def test_a_line_counts_for_the_names_it_gives(tmp_path: Path, names: str) -> None:
    assert known(tmp_path, f"# comment\n\n{names} ssh-ed25519 {CODE} note\n") == [KnownKey("ssh-ed25519", KEY)]


@pytest.mark.parametrize(
    "line",
    [
        f"review.example.com ssh-ed25519 {CODE}",
        f"[review.example.com]:22 ssh-ed25519 {CODE}",
        f"[*.example.com]:29418,![review.example.com]:29418 ssh-ed25519 {CODE}",
        f"# [review.example.com]:29418 ssh-ed25519 {CODE}",
        f"@cert-authority [review.example.com]:29418 ssh-ed25519 {CODE}",
        "[review.example.com]:29418 ssh-ed25519 ???",
        "[review.example.com]:29418 ssh-ed25519",
        "|1|salt",
        f"|1|?|? ssh-ed25519 {CODE}",
    ],
)
def test_other_lines_do_not_count(tmp_path: Path, line: str) -> None:
    assert known(tmp_path, line + "\n") == []


def test_port_22_is_not_written(tmp_path: Path) -> None:
    assert known(tmp_path, f"review.example.com ssh-ed25519 {CODE}\n", port=22) == [KnownKey("ssh-ed25519", KEY)]


def test_names_that_ssh_keygen_has_hashed_are_found(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    made = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made], check=True, timeout=60)
    kind, code = made.with_suffix(".pub").read_text().split()[:2]
    file.write_text(f"[review.example.com]:29418 {kind} {code}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, timeout=60, capture_output=True)
    assert "review" not in file.read_text()
    assert hostkeys.read([file], "review.example.com", 29418) == [KnownKey(kind, base64.b64decode(code))]
    assert hostkeys.read([file], "review.example.org", 29418) == []


def check(known: list[KnownKey], key: bytes = KEY) -> None:
    hostkeys.check(known, "review", 29418, "ssh-ed25519", key, "/etc/zuul/known_hosts")


def test_a_known_key_passes_also_beside_others() -> None:
    check([KnownKey("ssh-rsa", OTHER), KnownKey("ssh-ed25519", KEY)])


def test_an_unknown_host_is_refused_with_the_line_to_add() -> None:
    with pytest.raises(HostKeyUnknown) as refused:
        check([])
    assert str(refused.value).endswith(f"add this line to /etc/zuul/known_hosts: [review]:29418 ssh-ed25519 {CODE}")


def test_another_key_than_the_known_one_is_an_alarm() -> None:
    with pytest.raises(HostKeyChanged, match="HOST KEY CHANGED: ") as refused:
        check([KnownKey("ssh-ed25519", OTHER)])
    assert hostkeys.fingerprint(KEY) in str(refused.value)
    assert hostkeys.fingerprint(OTHER) in str(refused.value)


def test_a_revoked_key_is_refused_even_if_another_line_has_it(tmp_path: Path) -> None:
    text = f"[review]:29418 ssh-ed25519 {CODE}\n@revoked * ssh-ed25519 {CODE}\n"
    with pytest.raises(HostKeyChanged, match="REVOKED"):
        check(known(tmp_path, text, host="review"))


def test_a_pinned_key_is_read_as_ssh_keyscan_prints_it() -> None:
    assert hostkeys.pinned(f"ssh-ed25519 {CODE} comment") == KnownKey("ssh-ed25519", KEY)
