"""The sandbox that every unit of this collection has, and how a unit differs from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import PROPERTIES as BUILD
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.systemd_sandbox import properties, sandbox
from ansible_collections.bulwark.flask.tests.unit import support

# They change the host itself: its firewall, its mounts, fail2ban's sites.
UNCONFINED = {"accounts.service.j2", "host-access-firewall.service.j2", "logs.service.j2", "mounts.service.j2"}
SANDBOXED = sorted(
    (path.parent.parent.name, path.name) for path in support.ROLES.glob("*/templates/*.j2")
    if path.name not in UNCONFINED and path.name.endswith((".service.j2", "sandbox.conf.j2")))
# Directives that every unit has.
EVERYWHERE = ["NoNewPrivileges=yes", "PrivateDevices=yes", "PrivateIPC=yes", "PrivateMounts=yes", "PrivateTmp=yes", "ProtectClock=yes",
              "ProtectControlGroups=yes", "ProtectHostname=yes", "ProtectKernelLogs=yes", "ProtectKernelModules=yes",
              "ProtectKernelTunables=yes", "ProtectProc=invisible", "ProtectSystem=strict", "RestrictNamespaces=yes",
              "RestrictSUIDSGID=yes", "SystemCallArchitectures=native", "ReadOnlyPaths=/run"]


def values(text: str, name: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


def words(text: str, name: str) -> list[str]:
    return " ".join(values(text, name)).split()


def rendered(role: str, template: str) -> str:
    return support.render(role, template)


@pytest.mark.parametrize(("role", "template"), SANDBOXED)
def test_every_unit_has_the_profile(role: str, template: str) -> None:
    lines = rendered(role, template).splitlines()
    assert [line for line in EVERYWHERE if line not in lines] == []


@pytest.mark.parametrize("path", sorted(support.ROLES.glob("*/templates/*.path.j2")), ids=lambda path: path.name)
def test_many_changes_at_once_do_not_end_a_watch(path: Path) -> None:
    service = path.with_name(path.name.replace(".path", ".service"))
    assert "StartLimitIntervalSec=0" in service.read_text().splitlines()


def test_the_build_of_a_release_has_the_profile() -> None:
    assert [line for line in EVERYWHERE if line not in BUILD] == []
    assert not [line for line in BUILD if not line or line.startswith("#")]


@pytest.mark.parametrize(("role", "template"), SANDBOXED)
def test_no_unit_reaches_sshds_socket_or_the_journal_of_an_application(role: str, template: str) -> None:
    text = rendered(role, template)
    assert "/run/systemd:ro" in words(text, "TemporaryFileSystem") or role == "acme_cert"
    assert "-/run/ssh-unix-local" in words(text, "InaccessiblePaths")
    journals = [path for path in words(text, "BindReadOnlyPaths") if path.startswith("/run/systemd/journal")]
    assert journals in ([], ["/run/systemd/journal/dev-log"]), "the host's own journal at most"


@pytest.mark.parametrize(("role", "template"), [one for one in SANDBOXED if one[0] != "host_baseline"])
def test_no_unit_reads_the_applications_secrets(role: str, template: str) -> None:
    assert "-/etc/flask-secrets" in words(rendered(role, template), "InaccessiblePaths")


def test_a_unit_without_own_lines_has_the_whole_profile() -> None:
    text = sandbox("")
    assert words(text, "CapabilityBoundingSet") == [] and "CapabilityBoundingSet=" in text.splitlines()
    assert values(text, "PrivateUsers") == ["yes"]
    assert values(text, "SystemCallFilter") == ["@system-service", "~@privileged @resources"]


def test_a_units_own_line_replaces_the_profiles() -> None:
    text = sandbox("# Threads with a policy.\nSystemCallFilter=@system-service\nSystemCallFilter=~@privileged\n")
    assert values(text, "SystemCallFilter") == ["@system-service", "~@privileged"]
    assert text.startswith("# Threads with a policy.\n")


def test_paths_of_a_unit_are_added_to_the_profiles() -> None:
    text = sandbox("InaccessiblePaths=-/srv\nTemporaryFileSystem=/opt:ro")
    assert {"-/srv", "-/etc/flask-secrets"} <= set(words(text, "InaccessiblePaths"))
    assert {"/opt:ro", "/run/systemd:ro"} <= set(words(text, "TemporaryFileSystem"))


@pytest.mark.parametrize(("line", "visible", "hidden"), [
    ("ReadOnlyPaths=-/etc/acme-cert", "-/etc/acme-cert", "-/etc/ssl/acme-cert"),
    ("ReadOnlyPaths=/etc/ssl", "-/etc/ssl/private", "-/etc/acme-cert"),
    ("ReadWritePaths=/etc/acme-cert", "-/etc/acme-cert", "-/etc/flask-secrets"),
    ("BindReadOnlyPaths=/run/dbus /run/systemd/system", "-/run/dbus", "-/run/user"),
    ("BindReadOnlyPaths=/srv/bus:/run/dbus", "-/run/dbus", "-/run/user"),
    ("ReadOnlyPaths=/etc/sshd", "-/nowhere", "-/etc/ssh"),
])
def test_a_path_that_a_unit_names_is_not_hidden_from_it(line: str, visible: str, hidden: str) -> None:
    found = words(sandbox(line), "InaccessiblePaths")
    assert visible not in found and hidden in found


def test_a_directory_that_is_empty_in_the_profile_is_shown_to_a_unit_that_names_it() -> None:
    assert words(sandbox("ReadOnlyPaths=/run/systemd"), "TemporaryFileSystem") == ["/dev/shm:mode=1777"]


def test_a_path_that_a_unit_hides_is_hidden_once() -> None:
    text = sandbox("InaccessiblePaths=/dev/shm")
    assert words(text, "TemporaryFileSystem") == ["/run/systemd:ro"]
    assert "/dev/shm" in words(text, "InaccessiblePaths")
    assert "/run/systemd:ro" in words(sandbox("BindReadOnlyPaths=/run/systemd/system"), "TemporaryFileSystem")


def test_certbot_does_not_reach_systemd_though_the_reload_after_it_does() -> None:
    text = rendered("acme_cert", "renew.service.j2")
    assert {"-/run/systemd/private", "-/run/dbus"} <= set(words(text, "InaccessiblePaths"))
    assert "/run/systemd:ro" not in words(text, "TemporaryFileSystem"), "ExecStart=+ sees bind mounts and empty directories alike"
    assert values(text, "SocketBindDeny") == [""], "ExecStart=+ runs in the same control group"


def test_an_operators_value_replaces_the_units_and_the_profiles() -> None:
    text = sandbox("SystemCallFilter=@own", {"PrivateTmp": "no", "SystemCallFilter": ["@a", "~@b"]})
    assert values(text, "PrivateTmp") == ["no"]
    assert values(text, "SystemCallFilter") == ["@a", "~@b"]
    assert values(sandbox("", {"PrivateTmp": False}), "PrivateTmp") == ["no"], "YAML reads no as a boolean"


def test_an_operators_paths_are_added_and_shown() -> None:
    text = sandbox("BindReadOnlyPaths=/srv/shop", {"BindReadOnlyPaths": ["/opt/fonts", "/run/dbus"]})
    assert {"/srv/shop", "/opt/fonts", "/run/dbus", "/run/systemd/notify"} <= set(words(text, "BindReadOnlyPaths"))
    assert "-/run/dbus" not in words(text, "InaccessiblePaths")


def test_systemd_run_gets_the_lines_without_comments() -> None:
    found = properties("# Why.\nUMask=0022")
    assert "UMask=0022" in found and "UMask=0077" not in found
    assert all("=" in line and not line.startswith("#") for line in found)


def gunicorn(**section: object) -> str:
    return support.render("gunicorn_app", "gunicorn.service.j2", support.SHOP | {"gunicorn_app": section})


def test_an_application_reaches_link_local_addresses_only_when_it_is_allowed_to_or_for_its_resolver() -> None:
    def addresses(text: str) -> list[list[str]]:
        return [values(text, name) for name in ("IPAddressDeny", "IPAddressAllow")]

    assert addresses(gunicorn()) == [["169.254.0.0/16 fe80::/10 fd00:ec2::254"], []]
    assert addresses(gunicorn(management_access=True)) == [[], []]
    assert addresses(gunicorn(profile="isolated")) == [["any"], []]
    facts = {**support.FACTS, "dns": {"nameservers": ["192.0.2.53", "169.254.169.254", "fe80::1%eth0"]}}
    text = support.render("gunicorn_app", "gunicorn.service.j2", support.SHOP, ansible_facts=facts)
    assert addresses(text) == [["169.254.0.0/16 fe80::/10 fd00:ec2::254"], ["169.254.169.254 fe80::1"]]


def test_a_build_reaches_no_link_local_address_but_its_resolver(tmp_path: Path) -> None:
    assert "IPAddressDeny=169.254.0.0/16 fe80::/10 fd00:ec2::254" in BUILD
    (tmp_path / "resolv.conf").write_text("# nameserver 169.254.1.1\nnameserver 192.0.2.53\nnameserver 169.254.169.254\nnameserver fe80::1%eth0\n")
    assert Sandbox.resolvers(tmp_path / "resolv.conf") == ["IPAddressAllow=169.254.169.254", "IPAddressAllow=fe80::1"]
    assert Sandbox.resolvers(tmp_path / "none") == []


def test_an_application_writes_a_path_below_a_directory_that_is_hidden_from_it() -> None:
    text = gunicorn(writable_paths=["/mnt/media"])
    assert "/mnt:ro" in words(text, "TemporaryFileSystem")
    assert "/mnt/media" in words(text, "BindPaths"), "with ReadWritePaths the unit does not start"


def test_an_operator_opens_the_sandbox_of_an_application_line_by_line() -> None:
    families = "AF_UNIX AF_INET AF_INET6 AF_NETLINK"
    assert values(gunicorn(sandbox={"RestrictAddressFamilies": families}), "RestrictAddressFamilies") == [families]
    assert values(gunicorn(deny_write_execute=False), "MemoryDenyWriteExecute") == ["no"]
