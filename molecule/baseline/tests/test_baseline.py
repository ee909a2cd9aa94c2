"""Settings of host.yml are in effect, or reported by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from host.playbooks import Playbooks
from host.plugin import Server

# As a name, and where it is found.
SETTINGS = r'''
def values(name):
    for path in sorted(glob.glob("/proc/sys/" + name.replace(".", "/"))):
        with open(path) as stream:
            yield path, " ".join(stream.read().split())
found = {}
with open("/etc/sysctl.d/60-host-baseline.conf") as stream:
    for line in stream:
        if line.startswith("-"):
            name, _, value = line[1:].partition("=")
            found[name.strip()] = {"wanted": value.strip(), "is": dict(values(name.strip()))}
print(json.dumps(found))
'''


def run(server: Server, command: str, *arguments: str) -> str:
    """The output of a command that must succeed."""
    done = server.host.run(command, *arguments)
    assert done.rc == 0, f"{command}: {done.stderr or done.stdout}"
    return done.stdout


def test_the_machine_of_the_containers_is_not_reachable(server: Server) -> None:
    assert server.host.run("echo core > /proc/sys/kernel/core_pattern").rc != 0


def test_settings_are_in_effect_or_named(server: Server, converge_log: bytes) -> None:
    log, settings = converge_log.decode(errors="replace"), server.ask(SETTINGS)
    assert len(settings) > 25
    in_effect = [name for name, found in settings.items() if found["is"] and set(found["is"].values()) == {found["wanted"]}]
    assert len([name for name in in_effect if name.startswith("net.")]) >= 10
    for name, found in settings.items():
        messages = [line for line in log.splitlines() if f"{name} = {found['wanted']}: " in line]
        assert (name in in_effect) != bool(messages), (name, found, messages)


def test_the_operators_settings_win(server: Server) -> None:
    settings = server.ask(SETTINGS)
    assert settings["net.ipv4.tcp_max_syn_backlog"]["wanted"] == "2048"
    assert "net.ipv4.tcp_rfc1337" not in settings
    assert set(settings["net.ipv4.tcp_max_syn_backlog"]["is"].values()) == {"2048"}


def test_services_that_do_not_run_are_reported(server: Server, converge_log: bytes) -> None:
    log = converge_log.decode(errors="replace")
    for words, unit in (("time: ", "systemd-timesyncd"), ("audit: ", "auditd"), ("AppArmor: ", "apparmor")):
        assert run(server, "systemctl is-enabled %s", unit).strip() == "enabled"
        assert (words in log) == (server.host.run("systemctl is-active --quiet %s", unit).rc != 0)


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/var/tmp"])
def test_nothing_runs_from_a_directory_that_all_may_write(server: Server, folder: str, again: Callable[[], str]) -> None:
    again()
    path = f"{folder}/baseline-program"
    run(server, "rm -f %s && cp /bin/true %s && chmod 755 %s", path, path, path)
    runs = server.host.run("%s", path).rc == 0
    run(server, "rm %s", path)
    # Whoever has to run something for a moment has a place left.
    assert runs == (folder == "/var/tmp")


def test_an_account_sees_only_its_own_processes(server: Server, again: Callable[[], str]) -> None:
    again()
    count = "ls /proc | grep -c '^[0-9]'"
    alone = run(server, "setpriv --reuid nobody --regid nogroup --clear-groups sh -c %s", f"{count}; test -d /proc/1 || echo hidden")
    assert alone.split()[-1] == "hidden"
    assert int(alone.split()[0]) < 8
    allowed = run(server, "setpriv --reuid nobody --regid nogroup --groups proc sh -c %s", "test -d /proc/1 && echo seen")
    assert allowed.strip() == "seen"


def test_the_group_proc_sees_all_processes(server: Server) -> None:
    assert "proc" in run(server, "systemctl show systemd-logind.service --property=SupplementaryGroups").split("=")[1].split()


def test_a_service_that_crashes_leaves_no_memory_on_disk(server: Server) -> None:
    run(server, "rm -rf /var/tmp/crash && mkdir /var/tmp/crash")
    run(server, "! systemd-run --quiet --wait --collect --working-directory=/var/tmp/crash python3 -c %s",
        "import os; os.kill(os.getpid(), 11)")
    assert run(server, "ls /var/tmp/crash") == ""
    assert run(server, "systemd-run --quiet --wait --collect --pipe sh -c 'ulimit -Hc'").strip() == "0"


def test_sessions_make_no_core_dumps(server: Server, person: str) -> None:
    for name in (person, "root"):
        assert run(server, "su - %s -c %s", name, "ulimit -Hc").strip() == "0"


def test_files_of_people_are_private_and_files_of_root_are_readable(server: Server, person: str) -> None:
    assert run(server, "su - %s -c umask", person).strip() == "0027"
    assert run(server, "su - root -c umask").strip() == "0022"


def test_the_journal_is_limited(server: Server) -> None:
    started = run(server, "journalctl --quiet --output=cat _SYSTEMD_UNIT=systemd-journald.service + SYSLOG_IDENTIFIER=systemd-journald")
    sizes = [line for line in started.splitlines() if line.startswith(("System Journal", "Runtime Journal"))]
    assert "max 64.0M" in sizes[-1] or "max 64M" in sizes[-1], sizes
    config = run(server, "systemd-analyze cat-config systemd/journald.conf")
    assert "\nMaxRetentionSec=90day\n" in config


def test_security_updates_come_by_themselves(server: Server, again: Callable[[], str]) -> None:
    again()
    settings = run(server, "apt-config dump").splitlines()
    for wanted in ('APT::Periodic::Update-Package-Lists "1";', 'APT::Periodic::Unattended-Upgrade "1";',
                   'Unattended-Upgrade::Automatic-Reboot "true";', 'Unattended-Upgrade::Automatic-Reboot-Time "04:30";'):
        assert wanted in settings
    assert run(server, "systemctl is-active apt-daily.timer apt-daily-upgrade.timer").split() == ["active", "active"]
    allowed = next(line for line in run(server, "unattended-upgrade --dry-run --verbose").splitlines() if "Allowed origins are" in line)
    assert "label=Debian-Security" in allowed


def test_services_that_a_promise_needs_run_again(server: Server, again: Callable[[], str]) -> None:
    again()
    for unit in ("cron.service", "apt-daily.timer", "apt-daily-upgrade.timer"):
        assert run(server, "systemctl is-enabled %s && systemctl is-active %s", unit, unit).split() == ["enabled", "active"]


def test_services_with_a_replaced_library_restart_at_night(server: Server) -> None:
    assert "/usr/sbin/needrestart" in run(server, "systemctl show apt-daily-upgrade.service --property=ExecStartPost")
    run(server, "needrestart -r l -b")


def test_a_banner_is_shown_and_the_old_text_kept(server: Server) -> None:
    for path in ("/etc/issue", "/etc/issue.net"):
        assert "unauthorised use is prohibited" in server.host.file(path).content_string
        assert "Debian" in server.host.file(f"{path}.orig").content_string


def test_unwanted_packages_are_removed_but_not_while_they_are_in_use_or_needed(server: Server, again: Callable[[], str], playbooks: Playbooks) -> None:
    printed = " ".join(again().split())
    assert "tftpd-hpa is unwanted and stays: it is in use (tftpd-hpa.service)" in printed and server.host.package("tftpd-hpa").is_installed
    run(server, "systemctl stop tftpd-hpa.service rpcbind.service rpcbind.socket")
    printed = playbooks.good("host", "--limit", server.name, "--tags", "host_baseline").words
    assert not server.host.package("tftpd-hpa").is_installed and server.host.package("rpcbind").is_installed
    assert "rpcbind is unwanted and stays: nfs-common would be removed with it" in printed


def test_a_setting_changed_by_hand_is_set_again(server: Server, again: Callable[[], str]) -> None:
    again()
    assert run(server, "cat /proc/sys/net/ipv4/conf/all/accept_redirects").strip() == "0"


def test_an_account_that_needs_no_password_is_named(server: Server, again: Callable[[], str]) -> None:
    assert "accounts: open needs no password" in " ".join(again().split())


def test_a_forgotten_shell_ends(server: Server, person: str) -> None:
    assert run(server, "su - %s -c %s", person, "echo $TMOUT").strip() == "3600"
    assert run(server, "TMUX=x bash -c %s", ". /etc/profile; echo ${TMOUT:-stays}").strip() == "stays"


@pytest.mark.parametrize(("password", "good"), [("Summer2026!", False), ("person-person", False), ("characteristically", False),
                                                ("copper kettle, seven moons", True)])
def test_a_person_chooses_no_weak_password(server: Server, person: str, password: str, good: bool) -> None:
    run(server, "echo %s | chpasswd", f"{person}:first")
    changed = server.host.run("printf '%%s\\n' first %s %s | su %s -c passwd", password, password, person)
    assert (changed.rc == 0) == good, changed.stderr


def test_an_auditor_finds_the_rules(server: Server) -> None:
    assert "-w /etc/shadow -p wa -k accounts" in server.host.file("/etc/audit/rules.d/50-host-baseline.rules").content_string


def test_a_file_that_changes_is_recorded_once_and_by_name(server: Server) -> None:
    path, look = "/etc/systemd/system/baseline-stays.service", "systemctl start host-baseline-changes.service"
    since = run(server, "rm -f %s && " + look + " && date +@%%s.%%N", path).strip()
    run(server, "echo [Service] > %s && " + look + " && " + look, path)
    messages = run(server, "journalctl --quiet --output=cat --unit=host-baseline-changes --since=%s", since)
    assert messages.count(path) == 1, messages
    # The contents of a file are not compared.
    assert "[Service]" not in messages
    run(server, "echo ExecStart=/bin/true >> %s && " + look, path)
    messages = run(server, "journalctl --quiet --output=cat --unit=host-baseline-changes --since=%s", since)
    assert messages.count(path) == 2, messages
    run(server, "rm %s && " + look, path)


def test_files_are_looked_at_each_night(server: Server) -> None:
    assert run(server, "systemctl is-active host-baseline-changes.timer").strip() == "active"
    assert run(server, "systemctl is-enabled host-baseline-changes.timer").strip() == "enabled"


def test_a_changed_program_of_a_package_is_reported(server: Server) -> None:
    program = "/usr/bin/debsums"
    since = run(server, "date +@%%s.%%N && cp --preserve %s /root/shipped && echo '# mine' >> %s", program, program).strip()
    try:
        # As cron does, each week.
        run(server, "sh /etc/cron.weekly/debsums")
    finally:
        run(server, "mv /root/shipped %s", program)
    named = run(server, "journalctl --quiet --output=cat --identifier=debsums --since=%s", since)
    assert named.splitlines() == [program]
    assert run(server, "systemctl is-active cron").strip() == "active"
