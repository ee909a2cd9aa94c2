"""sshd's effective configuration: settings without effect, and accounts that lose their last authentication method."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_access import sshd

KEYS = {"pubkeyauthentication": ["yes"], "passwordauthentication": ["no"], "kbdinteractiveauthentication": ["no"], "authenticationmethods": ["any"]}
DEBIAN = KEYS | {"passwordauthentication": ["yes"]}
SECOND_FACTOR = {"authenticationmethods": ["publickey,keyboard-interactive:pam"]}
CHANGES = {
    "keys alone": (DEBIAN, KEYS, ""),
    "a second factor that goes": (DEBIAN | {"kbdinteractiveauthentication": ["yes"]} | SECOND_FACTOR, KEYS | SECOND_FACTOR,
                                  'host_access_ssh_settings: {KbdInteractiveAuthentication: "yes", AuthenticationMethods: publickey}'),
    "a second factor that stays": (DEBIAN | {"kbdinteractiveauthentication": ["yes"]} | SECOND_FACTOR,
                                   KEYS | {"kbdinteractiveauthentication": ["yes"]} | SECOND_FACTOR, ""),
    "one of two chains stays": (DEBIAN | {"authenticationmethods": ["publickey,password publickey"]},
                                KEYS | {"authenticationmethods": ["publickey,password publickey"]}, ""),
    "a key and a password": (DEBIAN | {"authenticationmethods": ["publickey,password"]}, KEYS | {"authenticationmethods": ["publickey,password"]},
                             'host_access_ssh_settings: {PasswordAuthentication: "yes", AuthenticationMethods: publickey}'),
    "a Match block without keys": (DEBIAN | {"pubkeyauthentication": ["no"]}, KEYS | {"pubkeyauthentication": ["no"]},
                                   "set PasswordAuthentication: yes in the Match block"),
    "no login possible before either": (KEYS | SECOND_FACTOR, KEYS | SECOND_FACTOR, ""),
}


@pytest.mark.parametrize(("before", "after", "cure"), CHANGES.values(), ids=CHANGES)
def test_an_account_that_would_lose_its_login_is_reported_with_the_setting(before: sshd.Config, after: sshd.Config, cure: str) -> None:
    found = " ".join(sshd.locked_out({"bob": (before, after), "root": (DEBIAN, KEYS)}, KEYS))
    assert cure in found
    assert bool(found) == bool(cure)
    assert not found or found.startswith("bob could not log in any more")


def test_accounts_with_the_same_cure_are_named_together() -> None:
    lost = (DEBIAN | {"kbdinteractiveauthentication": ["yes"]} | SECOND_FACTOR, KEYS | SECOND_FACTOR)
    found = sshd.locked_out({"alice": lost, "bob": lost}, KEYS)
    assert len(found) == 1
    assert found[0].startswith("alice, bob could not")


def test_an_account_that_needs_no_key_is_known() -> None:
    assert sshd.without_key(DEBIAN)
    assert not sshd.without_key(KEYS)
    assert not sshd.without_key(DEBIAN | {"authenticationmethods": ["publickey,password"]})


def test_a_setting_that_another_file_decides_is_named() -> None:
    ours = sshd.parse("port 22\npasswordauthentication no\nmaxauthtries 4\nport 2222")
    whole = sshd.parse("port 2222\nport 22\nport 443\npasswordauthentication yes\nmaxauthtries 4")
    found = sshd.overruled(ours, whole, ["Port", "PasswordAuthentication", "MaxAuthTries"])
    assert len(found) == 1
    assert "PasswordAuthentication is yes and not no" in found[0]


def test_keywords_of_match_blocks_are_not_for_all() -> None:
    assert sshd.global_keywords("# Port 1\nPort 22\nPort 23\nX11Forwarding no\nMatch User bob\n  PasswordAuthentication yes\n") == ["Port", "X11Forwarding"]


@pytest.mark.parametrize(("text", "included"), [
    ("Include /etc/ssh/sshd_config.d/*.conf\n", True),
    ("Port 22\n  include sshd_config.d/00-*.conf\n", True), ("#Include sshd_config.d/*.conf\n", False),
    ("Match User bob\n  Include /etc/ssh/sshd_config.d/*.conf\n", False), ("", False)])
def test_a_main_file_that_includes_no_drop_ins_is_known(text: str, included: bool) -> None:
    assert sshd.includes_drop_ins(text) == included


def test_a_copy_of_the_configuration_includes_copies_and_no_removed_files(tmp_path: Path) -> None:
    root, copy = tmp_path / "etc", tmp_path / "copy"
    (root / "sshd_config.d").mkdir(parents=True)
    copy.mkdir()
    (root / "sshd_config").write_text(f"Include {root}/sshd_config.d/*.conf\nInclude /etc/other.conf\n")
    for name in ("10-stays.conf", "20-goes.conf", "30-is-replaced.conf", "40-is-no-configuration"):
        (root / "sshd_config.d" / name).write_text("Port 22\n")
    main = sshd.stage(str(copy), {"sshd_config.d/20-goes.conf": None, "sshd_config.d/30-is-replaced.conf": "Port 23\n",
                                  "sshd_config.d/00-is-new.conf": "Port 24\n"}, str(root))
    assert Path(main).read_text() == f"Include {copy}/sshd_config.d/*.conf\nInclude /etc/other.conf\n"
    assert {path.name: path.read_text() for path in (copy / "sshd_config.d").iterdir()} == {
        "00-is-new.conf": "Port 24\n", "10-stays.conf": "Port 22\n", "30-is-replaced.conf": "Port 23\n"}
