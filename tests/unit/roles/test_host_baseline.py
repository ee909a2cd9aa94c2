"""host_baseline: files by variable."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles.host_baseline import RULES
from ansible_collections.bulwark.flask.tests.unit import support


def render(template: str, **given: object) -> str:
    return support.render("host_baseline", template, **given)


def test_a_reboot_is_optional_and_has_a_time() -> None:
    assert 'Automatic-Reboot "false";' in render("apt.conf.j2")
    found = render("apt.conf.j2", host_baseline_reboot_at="04:30")
    assert 'Automatic-Reboot "true";' in found and 'Automatic-Reboot-Time "04:30";' in found


def test_restarts_at_night_are_a_choice() -> None:
    assert "ExecStartPost=/usr/sbin/needrestart" in render("restart.conf.j2")
    assert "Exec" not in render("restart.conf.j2", host_baseline_restart_services=False)
    assert "needrestart" not in support.role_vars("host_baseline", host_baseline_restart_services=False)["__host_baseline_packages"]


def test_the_report_of_changed_files_can_be_turned_off() -> None:
    chosen, left = (support.role_vars("host_baseline", host_baseline_watch_files=value) for value in (True, False))
    assert {"aide", "debsums"} <= set(chosen["__host_baseline_packages"]) - set(left["__host_baseline_packages"])
    gone = {entry["dest"] for entry in left["__host_baseline_no_watch_files"]}
    gone |= {f"/etc/systemd/system/{unit}" for unit, wanted in left["__host_baseline_no_watch_units"].items() if wanted == {"state": "absent"}}
    assert gone == {entry["dest"] for entry in chosen["__host_baseline_watch_files"] if "host-baseline" in entry["dest"]}
    assert "changed files" in chosen["__host_baseline_running"] and "changed files" not in left["__host_baseline_running"]


def test_settings_of_the_operator_take_precedence_and_null_skips_one() -> None:
    lines = render("sysctl.conf.j2", host_baseline_sysctl={"kernel.sysrq": 1, "fs.suid_dumpable": None, "vm.swappiness": 10}).splitlines()
    assert {"-kernel.sysrq = 1", "-vm.swappiness = 10"} <= set(lines)
    assert not any("suid_dumpable" in line or line == "-kernel.sysrq = 0" for line in lines)


def test_a_pattern_is_written_for_all_interfaces_by_name_too() -> None:
    # Debian's 50-default.conf has `-net.ipv4.conf.all.rp_filter`, which excludes the name from patterns of every file.
    assert {"-net.ipv4.conf.*.rp_filter = 2", "-net.ipv4.conf.all.rp_filter = 2"} <= set(render("sysctl.conf.j2").splitlines())
    own = render("sysctl.conf.j2", host_baseline_sysctl={"net.ipv4.conf.*.rp_filter": 1, "net.ipv4.conf.all.send_redirects": 1}).splitlines()
    assert "-net.ipv4.conf.all.rp_filter = 1" in own
    assert [line for line in own if "all.send_redirects" in line] == ["-net.ipv4.conf.all.send_redirects = 1"]


def test_a_blocked_module_cannot_be_loaded() -> None:
    lines = render("modprobe.conf.j2", host_baseline_blocked_modules=["usb-storage"]).splitlines()
    assert lines[-2:] == ["blacklist usb-storage", "install usb-storage /bin/false"]


def test_the_configured_mount_options_are_set_and_checked() -> None:
    unit = render("mounts.service.j2", host_baseline_tmp_exec=True, host_baseline_hide_processes=False)
    assert "remount,bind,nosuid,nodev,exec /tmp" in unit and "hidepid=off" in unit
    mounts = support.role_vars("host_baseline", host_baseline_tmp_exec=True, host_baseline_hide_processes=False)["__host_baseline_mounts"]
    assert mounts == {"/tmp": ["nosuid", "nodev"], "/dev/shm": ["nosuid", "nodev", "noexec"]}


@pytest.mark.parametrize(("variable", "value", "good"), [
    ("host_baseline_reboot_at", "04:30", True), ("host_baseline_reboot_at", "4:30", False),
    ("host_baseline_sysctl", {"net.ipv4.conf.*.rp_filter": 1, "kernel.core_pattern": "|/bin/false", "kernel.sysrq": None}, True),
    ("host_baseline_sysctl", {"sysrq": 0}, False), ("host_baseline_sysctl", {"kernel.sysrq": [0]}, False),
    ("host_baseline_sysctl", {"kernel.core_pattern": "a\nkernel.sysrq = 1"}, False),
    ("host_baseline_blocked_modules", ["usb storage"], False), ("host_baseline_packages_absent", ["rpcbind -y"], False)])
def test_values_are_looked_at(variable: str, value: object, good: bool) -> None:
    assert (RULES[variable.removeprefix("host_baseline_")](variable, value) == []) == good
