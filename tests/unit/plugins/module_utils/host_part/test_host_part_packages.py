"""Packages: alternatives, removal, locks of other processes, and killed runs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import packages


class Module:
    """Answers as the programs do."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    def run_command(self, command: list[str], **more: Any) -> tuple[int, str, str]:
        return 0, self.answers[command[-1]], ""


def test_one_of_two_is_enough_and_the_first_is_installed() -> None:
    assert packages.missing(["systemd-timesyncd | chrony", "nginx"], {"chrony"}) == ["nginx"]
    assert packages.missing(["systemd-timesyncd | chrony"], {"nginx"}) == ["systemd-timesyncd"]


def test_a_package_others_need_is_kept_and_named() -> None:
    module = Module({"rpcbind": "Remv nfs-common [1]\nRemv rpcbind [1]\n", "telnetd": "Remv telnetd [1]\n", "nis": "Remv nis\nRemv rpcbind\n"})
    assert packages.removable(module, ["rpcbind", "telnetd", "nis"]) == (
        ["telnetd", "nis"], ["rpcbind is unwanted and stays: nfs-common would be removed with it"])


def lock(path: Path, ready: str = "print(1, flush=True)", seconds: float = 60) -> subprocess.Popen[bytes]:
    """Another process that holds a lock the way apt does."""
    code = f"import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); {ready}; time.sleep({seconds})"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline()
    return process


class Runs:
    """Answers one after the other, and remembers what was asked."""

    def __init__(self, *answers: tuple[int, str, str]) -> None:
        self.answers, self.asked, self.warnings = list(answers), [], []

    def run_command(self, command: list[str], **more: Any) -> tuple[int, str, str]:
        self.asked.append(" ".join(command))
        return self.answers.pop(0)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_apt_waits_for_the_lock_of_the_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LOCKS", (str(tmp_path / "lock"),))
    began, process = time.monotonic(), lock(tmp_path / "lock", seconds=1.5)
    packages.Apt(Runs((0, "", ""))).get("update", purpose="x")
    assert time.monotonic() - began > 1
    process.wait()


def test_the_holder_of_the_lock_is_named_after_the_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LOCKS", (str(tmp_path / "lock"),))
    process = lock(tmp_path / "lock")
    with pytest.raises(packages.Problem, match=rf"process {process.pid} \(.*python.* has held .*lock for more than 0 seconds"):
        packages.Apt(Runs(), wait_seconds=0).get("update", purpose="x")
    process.kill()
    process.wait()


def test_an_interrupted_dpkg_is_finished_and_the_installation_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LOCKS", ())
    module = Runs((100, "", "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'"), (0, "", ""), (0, "", ""))
    packages.Apt(module).get("install", "nginx", purpose="x")
    assert ["configure" in command for command in module.asked] == [False, True, False]
    assert module.warnings


def test_a_policy_denies_while_its_run_lives_and_not_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, guard = tmp_path / "policy-rc.d", tmp_path / "lock"
    monkeypatch.setattr(packages, "POLICY", str(policy))
    monkeypatch.setattr(packages, "POLICY_LOCK", str(guard))
    monkeypatch.setattr(packages, "POLICY_TEXT", packages.POLICY_TEXT.replace("/run/bulwark-packages.lock", str(guard)))
    with packages.fs.locked(guard), packages.services_held(True):
        assert subprocess.run([policy, "nginx", "start"], check=False).returncode == 101
        left = policy.read_bytes()
    assert not policy.exists()
    packages.fs.write(policy, left, mode=0o755)  # as after a kill
    assert subprocess.run([policy, "nginx", "start"], check=False).returncode == 0
    assert packages.remove_leftover() and not policy.exists()


def test_a_policy_of_the_operator_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "POLICY", str(policy))
    policy.write_text("#!/bin/sh\nexit 101\n")
    with packages.services_held(True):
        pass
    assert not packages.remove_leftover() and policy.exists()


def test_a_removed_package_is_named_with_its_running_services() -> None:
    class Host:
        def run_command(self, command: list[str], **more: Any) -> tuple[int, str, str]:
            if command[0] == "dpkg-query":
                return 0, "/usr/sbin/in.tftpd\n/etc/init.d/tftpd-hpa\n/lib/systemd/system/other.service\n/lib/systemd/system/x@.service\n", ""
            return int(command[-1] != "tftpd-hpa.service"), "", ""

    assert packages.running_units(Host(), "tftpd-hpa") == ["tftpd-hpa.service"]
    warning = packages.removal_warning("web1", {"telnetd": [], "tftpd-hpa": ["tftpd-hpa.service"]})
    assert "web1: unwanted packages are removed: telnetd, tftpd-hpa (in use: tftpd-hpa.service active)." in warning


@pytest.mark.parametrize("remove_active", [False, True])
def test_an_unwanted_package_in_use_needs_a_word(remove_active: bool) -> None:
    class Host:
        check_mode, warned = True, ""

        def run_command(self, command: list[str], **more: Any) -> tuple[int, str, str]:
            listing = {"-W": "telnetd installed\nxinetd installed\n", "-L": f"/lib/systemd/system/{command[-1]}.service\n",
                       "remove": f"Remv {command[-1]}\n" + "Remv xinetd\n" * (command[-1] == "telnetd")}
            return int(command[-1] == "telnetd.service"), next((text for word, text in listing.items() if word in command), ""), ""

        def warn(self, text: str) -> None:
            self.warned += text

    host = Host()
    result = packages.ensure(host, [], ["telnetd", "xinetd"], remove_active, True, None)  # type: ignore[arg-type]
    if remove_active:
        assert (result["removed"], result["kept"]) == (["telnetd", "xinetd"], []) and "xinetd (in use: xinetd.service active)" in host.warned
    else:
        # The removal of the other one would remove it too.
        assert result["removed"] == [] and result["kept"] == [
            "telnetd is unwanted and stays: xinetd would be removed with it",
            "xinetd is unwanted and stays: it is in use (xinetd.service). Stop that, or allow the removal with remove_active"]


def test_another_run_that_installs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "POLICY_LOCK", str(tmp_path / "lock"))
    with packages.fs.locked(tmp_path / "lock"), pytest.raises(packages.Problem, match=r"Could not install nginx: another run installs packages. process \d+ "):
        packages.Apt(Runs(), wait_seconds=0).install(["nginx"], start_services=True)


def test_all_waits_of_a_run_for_apt_have_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LOCKS", ())
    clock = [0.0]
    monkeypatch.setattr(packages.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(packages.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    taken = (100, "", "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)")
    with pytest.raises(packages.Problem, match="again and again for 300 seconds"):
        packages.Apt(Runs(*[taken] * 400)).get("update", purpose="x")
    assert clock[0] <= 301


def test_a_program_that_dpkg_starts_does_not_keep_the_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "LOCKS", ())
    monkeypatch.setattr(packages, "POLICY_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(packages, "lists_are_old", lambda: False)
    monkeypatch.setattr(packages, "left_over", lambda: False)
    inherited = {}

    class Dpkg(Runs):
        def run_command(self, command: list[str], **more: Any) -> tuple[int, str, str]:
            inherited[command[0]] = bool(more["pass_fds"])
            return super().run_command(command)

    packages.Apt(Dpkg((100, "", "E: dpkg was interrupted"), (0, "", ""), (0, "", ""))).install(["nginx"], start_services=True)
    assert inherited == {"apt-get": True, "dpkg": False}


BROKEN = (100, "", "E: The repository 'https://repo.example.com x Release' does not have a Release file.")


def installs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *answers: tuple[int, str, str]) -> Runs:
    monkeypatch.setattr(packages, "LOCKS", ())
    monkeypatch.setattr(packages, "POLICY_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(packages, "lists_are_old", lambda: True)
    monkeypatch.setattr(packages, "left_over", lambda: False)
    module = Runs(*answers)
    packages.Apt(module).install(["nginx"], start_services=True)
    return module


def test_a_broken_repository_of_others_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [warning] = installs(monkeypatch, tmp_path, BROKEN, (0, "", "")).warnings
    assert "repo.example.com" in warning and "installed from the other lists" in warning


def test_a_package_that_is_not_found_is_reported_with_the_broken_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(packages.Problem, match="Unable to locate package nginx\n.*\n.*repo.example.com"):
        installs(monkeypatch, tmp_path, BROKEN, (100, "", "E: Unable to locate package nginx"))
