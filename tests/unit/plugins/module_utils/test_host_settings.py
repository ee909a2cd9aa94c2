"""host_settings: changes, precedence, and reasons for settings that cannot be changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import host_settings

OWN = "60-host-baseline.conf"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, value in {"net/ipv4/conf/all/accept_redirects": "1", "net/ipv4/conf/eth0.7/accept_redirects": "1",
                        "net/ipv4/tcp_syncookies": "0", "kernel/sysrq": "438"}.items():
        path = tmp_path / "proc/sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    return tmp_path


def settle(root: Path, predict: bool = False, **wanted: object) -> tuple[list[str], list[str]]:
    return host_settings.settle(root, {name.replace("__", "."): value for name, value in wanted.items()}, OWN, predict)


def test_different_settings_are_set_once(root: Path) -> None:
    assert settle(root, kernel__sysrq=0) == (["kernel.sysrq"], [])
    assert (root / "proc/sys/kernel/sysrq").read_text() == "0"
    assert settle(root, kernel__sysrq=0) == ([], [])


def test_a_prediction_sets_nothing(root: Path) -> None:
    assert settle(root, predict=True, kernel__sysrq=0) == (["kernel.sysrq"], [])
    assert (root / "proc/sys/kernel/sysrq").read_text() == "438\n"


def test_a_star_is_every_interface_and_a_whole_name_wins(root: Path) -> None:
    wanted = {"net.ipv4.conf.all.accept_redirects": 1, "net.ipv4.conf.*.accept_redirects": 0}
    done, refused = host_settings.settle(root, wanted, OWN, False)
    assert (done, refused) == (["net/ipv4/conf/eth0.7/accept_redirects"], [])
    assert (root / "proc/sys/net/ipv4/conf/all/accept_redirects").read_text() == "1\n"


def test_a_setting_the_kernel_lacks_is_named(root: Path) -> None:
    assert settle(root, kernel__kexec=1) == ([], ["kernel.kexec = 1: this kernel has no such setting"])


def test_a_read_only_setting_is_reported_in_check_mode_too(root: Path) -> None:
    (root / "proc/sys/kernel/sysrq").chmod(0o444)
    for predict in (True, False):
        done, refused = settle(root, predict, kernel__sysrq=0)
        assert (done, refused) == ([], ["kernel.sysrq = 0: this host may not change it (read-only); it is 438"])


@pytest.mark.parametrize(("file", "line", "wins"), [
    ("99-theirs.conf", "kernel.sysrq = 1", True), ("99-theirs.conf", "-kernel/sysrq=1", True), ("99-theirs.conf", "# kernel.sysrq = 1", False),
    ("10-theirs.conf", "kernel.sysrq = 1", False), ("99-theirs.conf", "kernel.sysrq = 0", False)])
def test_settings_of_a_later_file_are_kept_and_reported(root: Path, file: str, line: str, wins: bool) -> None:
    (root / "etc/sysctl.d" / file).write_text(f"{line}\n")
    done, refused = settle(root, kernel__sysrq=0)
    expected = ([], [f"kernel.sysrq = 0: /etc/sysctl.d/{file} sets 1 after it"]) if wins else (["kernel.sysrq"], [])
    assert (done, refused) == expected


def test_an_account_that_is_open_is_named() -> None:
    found = host_settings.open_accounts("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nme:x:1000:1000::/:/bin/sh\n",
                                          "root:*:1::\ntoor:!:1::\nme::1::\n")
    assert [sentence.split()[1] for sentence in found] == ["toor", "me"]


@pytest.mark.parametrize(("line", "enforced"), [
    ("password requisite pam_pwquality.so retry=3", True), ("# password requisite pam_pwquality.so", False), ("", False)])
def test_a_password_policy_that_pam_does_not_use_is_named(line: str, enforced: bool) -> None:
    assert (host_settings.password_policy(f"{line}\npassword sufficient pam_unix.so\n") == []) == enforced


MOUNTS = """22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:5 / /proc rw,nosuid,nodev,noexec - proc proc rw,gid=994,hidepid=2
31 22 0:6 / /tmp rw,nosuid - tmpfs tmpfs rw
32 22 0:7 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw
"""


def test_a_mount_lacks_the_options_that_its_topmost_mount_lacks() -> None:
    assert host_settings.mounts(MOUNTS, {"/tmp": ["nosuid", "nodev", "noexec"], "/dev/shm": ["noexec"], "/proc": ["hidepid=invisible"]}) == {
        "/tmp": "/tmp is mounted without noexec", "/dev/shm": "/dev/shm is mounted without noexec"}
