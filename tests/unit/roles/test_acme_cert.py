"""Files of acme_cert: settings, units, and two programs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.bulwark.flask.tests.unit import support

KEY = "canary-hmac-key"


def app(**section: Any) -> dict[str, Any]:
    return {**support.SHOP, "acme_cert": section}


def ini(**section: Any) -> dict[str, str]:
    lines = support.render("acme_cert", "certbot.ini.j2", app(**section)).splitlines()
    return dict(line.split(" = ", 1) for line in lines if line and not line.startswith("#"))


# -- settings


def test_the_default_is_lets_encrypt_with_a_p256_key_over_the_running_web_server() -> None:
    settings = ini()
    assert settings["server"] == "https://acme-v02.api.letsencrypt.org/directory"
    assert (settings["key-type"], settings["elliptic-curve"]) == ("ecdsa", "secp256r1")
    assert settings["authenticator"] == "webroot" and settings["webroot-path"] == "/var/lib/acme-cert/webroot"
    assert settings["config-dir"] == "/etc/acme-cert"
    assert not {"email", "eab-kid", "eab-hmac-key", "preferred-profile"} & set(settings)


def test_staging_is_one_word() -> None:
    assert "staging" in ini(staging=True)["server"]
    assert ini(staging=False, directory_url="https://ca.example.com/dir")["server"] == "https://ca.example.com/dir"


@pytest.mark.parametrize(("key_type", "expected"), [
    ("ecdsa-p384", {"key-type": "ecdsa", "elliptic-curve": "secp384r1"}),
    ("rsa-4096", {"key-type": "rsa", "rsa-key-size": "4096"}),
])
def test_other_keys(key_type: str, expected: dict[str, str]) -> None:
    settings = ini(key_type=key_type)
    assert expected.items() <= settings.items()


def test_profile_email_and_account_binding() -> None:
    settings = ini(profile="shortlived", email="ops@example.com", eab_kid="kid", eab_hmac_key=KEY)
    assert settings["preferred-profile"] == "shortlived"
    assert settings["email"] == "ops@example.com"
    assert (settings["eab-kid"], settings["eab-hmac-key"]) == ("kid", KEY)


DNS = {"plugin": "rfc2136", "credentials": {"server": "192.0.2.53", "name": "certbot.", "secret": KEY, "algorithm": "HMAC-SHA256"}}


def test_names_can_be_proven_in_dns() -> None:
    settings = ini(dns=DNS)
    assert settings["authenticator"] == "dns-rfc2136" and "webroot-path" not in settings
    assert settings["dns-rfc2136-credentials"] == "/etc/acme-cert/shop.dns.ini"
    assert settings["dns-rfc2136-propagation-seconds"] == "60"
    text = support.render("acme_cert", "dns.ini.j2", app(dns=DNS))
    assert f'dns_rfc2136_secret = "{KEY}"' in text and 'dns_rfc2136_server = "192.0.2.53"' in text


def test_other_plugins_are_named_as_certbot_does() -> None:
    settings = ini(dns={"plugin": "route53", "wait_seconds": 10})
    assert settings["authenticator"] == "dns-route53" and settings["dns-route53-propagation-seconds"] == "10"
    assert "dns-route53-credentials" not in settings
    assert "dns_my_host_token" in support.render("acme_cert", "dns.ini.j2", app(dns={"plugin": "my-host", "credentials": {"token": "x"}}))


def test_the_key_of_the_name_server_is_in_a_file_that_only_root_reads_while_it_is_of_use() -> None:
    def entry(**section: Any) -> dict[str, Any]:
        return next(file for file in support.role_vars("acme_cert", app(**section))["__acme_cert_files"] if file["dest"].endswith(".dns.ini"))
    assert entry(dns=DNS) == {"dest": "/etc/acme-cert/shop.dns.ini", "template": "dns.ini.j2", "mode": "0600", "sensitive": True}
    assert entry() == {"dest": "/etc/acme-cert/shop.dns.ini", "state": "absent"}
    for template in ("certbot.ini.j2", "renew.service.j2", "renew.sh.j2", "certificate.conf.j2"):
        assert KEY not in support.render("acme_cert", template, app(dns=DNS))


def test_the_binding_key_is_in_the_one_file_that_only_root_reads() -> None:
    section = app(eab_kid="kid", eab_hmac_key=KEY)
    for template in ("renew.service.j2", "renew.sh.j2", "reload.sh.j2", "certificate.conf.j2", "renew.timer.j2"):
        assert KEY not in support.render("acme_cert", template, section)
    tasks = (support.ROLES / "acme_cert/tasks/certbot.yml").read_text()
    line = next(line for line in (support.ROLES / "acme_cert/vars/main.yml").read_text().splitlines() if "certbot.ini.j2" in line)
    assert 'mode: "0600"' in line and "sensitive: true" in line
    assert 'no_log: "{{ acme_cert_eab_hmac_key | length > 0 or acme_cert_dns | length > 0 }}"' in tasks


def test_the_tool_is_hash_locked_and_names_no_index() -> None:
    lock = (support.ROLES / "acme_cert/files/certbot.txt").read_text()
    assert "certbot==5.8.0" in lock and "certbot-dns-rfc2136==5.8.0" in lock
    assert not re.search(r"--(extra-)?index-url|--find-links|file://", lock)
    packages = re.findall(r"^\S+==\S+.*(?:\n    .*)*", lock, re.MULTILINE)
    assert len(packages) > 10 and all("--hash=sha256:" in package for package in packages)


# -- units


def unit() -> str:
    return support.render("acme_cert", "renew.service.j2")


@pytest.mark.parametrize("line", [
    "CapabilityBoundingSet=", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
    "PrivateDevices=yes", "ProtectProc=invisible", "ProtectKernelTunables=yes", "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes", "ProtectControlGroups=yes", "ProtectClock=yes", "ProtectHostname=yes", "RestrictNamespaces=yes",
    "RestrictRealtime=yes", "RestrictSUIDSGID=yes", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes", "SystemCallArchitectures=native", "SystemCallFilter=~@privileged @resources", "UMask=0027", "Group=ssl-cert",
    "ReadWritePaths=/etc/acme-cert /var/lib/acme-cert /var/log/acme-cert",
])
def test_certbot_runs_confined(line: str) -> None:
    assert line in unit().splitlines()


def test_neither_the_applications_secrets_nor_another_certbots_files_are_in_sight() -> None:
    hidden = " ".join(re.findall(r"^InaccessiblePaths=(.*)$", unit(), re.MULTILINE)).split()
    assert {"-/etc/letsencrypt", "-/etc/flask-secrets", "-/etc/ssh", "-/srv"} <= set(hidden)


def test_the_reload_is_part_of_the_unit_so_that_its_failure_is_seen() -> None:
    starts = re.findall(r"^ExecStart=(.*)$", unit(), re.MULTILINE)
    assert starts == ["/usr/local/sbin/acme-cert-renew %i", "+/usr/local/sbin/acme-cert-reload %i"]
    assert "hook" not in unit().split("[Service]")[1]


def test_the_force_flag_is_removed_even_after_a_failure() -> None:
    assert "ExecStopPost=+/bin/rm -f /run/acme-cert-force-%i" in unit()


def test_the_timer_runs_twice_a_day_at_a_random_moment_and_makes_up_for_time_off() -> None:
    timer = support.render("acme_cert", "renew.timer.j2").splitlines()
    assert {"OnCalendar=*-*-* 00,12:00:00", "RandomizedDelaySec=12h", "Persistent=yes", "WantedBy=timers.target"} <= set(timer)


def test_each_certificate_has_its_own_names_and_trust() -> None:
    text = support.render("acme_cert", "certificate.conf.j2", app(ca_bundle="/etc/ssl/100%.pem"))
    assert 'Environment="REQUESTS_CA_BUNDLE=/etc/ssl/100%%.pem"' in text
    assert 'Environment="ACME_CERT_NAMES=--domains shop.example.com,www.shop.example.com"' in text


def test_addresses_are_named_as_certbot_does() -> None:
    def names(*domains: str) -> str:
        return support.role_vars("acme_cert", {**support.SHOP, "domains": list(domains)})["__acme_cert_names"]
    assert names("shop.example.com", "192.0.2.1", "*.shop.example.com", "2001:db8::1") == \
        "--domains shop.example.com,*.shop.example.com --ip-address 192.0.2.1 --ip-address 2001:db8::1"
    assert names("192.0.2.1") == "--ip-address 192.0.2.1"
    assert names("1.example.com") == "--domains 1.example.com"


# -- a pair


RSA = {"__acme_cert_lineage": "shop.rsa", "__acme_cert_key": "rsa-2048"}


def test_the_second_certificate_of_a_pair_differs_only_in_its_key() -> None:
    section = app(rsa_certificate=True, email="ops@example.com", profile="shortlived")
    first, second = (support.render("acme_cert", "certbot.ini.j2", section, **more).splitlines()[2:] for more in ({}, RSA))
    settings = [{line for line in lines if not line.startswith("#")} for lines in (first, second)]
    assert settings[0] - settings[1] == {"key-type = ecdsa", "elliptic-curve = secp256r1"}
    assert {"key-type = rsa", "rsa-key-size = 2048"} <= set(second)


def test_the_second_one_is_renewed_with_the_first() -> None:
    text = support.render("acme_cert", "certificate.conf.j2", app(rsa_certificate=True))
    assert "Wants=acme-cert-renew@shop.rsa.service\nAfter=acme-cert-renew@shop.rsa.service\n" in text
    for alone in (support.render("acme_cert", "certificate.conf.j2", app(rsa_certificate=True), **RSA), support.render("acme_cert", "certificate.conf.j2")):
        assert "Wants" not in alone and "REQUESTS_CA_BUNDLE" in alone


def test_its_files_are_as_the_firsts() -> None:
    entries = support.role_vars("acme_cert", app(rsa_certificate=True))["__acme_cert_rsa_files"]
    assert entries[0] == {"dest": "/etc/acme-cert/shop.rsa.ini", "template": "certbot.ini.j2", "mode": "0600", "sensitive": True, "vars": RSA}


# -- programs

Run = Callable[..., "subprocess.CompletedProcess[str]"]
STUBS = {
    "nginx": '[ ! -e "$ROOT/refuses" ]',
    "systemctl": ':',
    "chgrp": ':',
    "flock": 'shift 4; exec "$@"',
    "certbot": 'if [ "$1" = --version ]; then echo certbot 5.8.0; fi',
}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory that stands for a host, with commands that note what they are asked."""
    for name in ("etc/ssl/acme-cert", "etc/acme-cert/live/shop", "etc/acme-cert/renewal", "var/lib/acme-cert/own", "run",
                 "opt/certbot/current/bin", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/lib/acme-cert/own/fullchain.pem").write_text("self-signed")
    (tmp_path / "etc/ssl/acme-cert/shop").symlink_to(tmp_path / "var/lib/acme-cert/own")
    for name, body in STUBS.items():
        path = tmp_path / ("opt/certbot/current/bin" if name == "certbot" else "bin") / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "$ROOT/log"\n{body}\n')
        path.chmod(0o755)
    return tmp_path


@pytest.fixture
def run(host: Path) -> Run:
    def once(template: str, *more: str) -> subprocess.CompletedProcess[str]:
        program = re.sub(r"(?<=[\s\"'=-])/(etc|var|run|opt)/", rf"{host}/\1/", support.render("acme_cert", template))
        environment = {"PATH": f"{host}/bin:{os.environ['PATH']}", "ROOT": str(host),
                       "ACME_CERT_NAMES": "--domains a.example.com,*.example.com --ip-address 192.0.2.1"}
        return subprocess.run(["sh", "-c", program, "program", "shop", *more], capture_output=True, text=True, env=environment,
                              cwd=host, check=False)

    return once


def log(host: Path) -> str:
    return (host / "log").read_text() if (host / "log").exists() else ""


def get(host: Path, text: str = "CA's") -> None:
    (host / "etc/acme-cert/live/shop/fullchain.pem").write_text(text)


def served(host: Path) -> str:
    return os.readlink(host / "etc/ssl/acme-cert/shop")


def test_the_cas_certificate_replaces_the_placeholder(run: Run, host: Path) -> None:
    get(host)
    assert run("reload.sh.j2").returncode == 0
    assert served(host) == str(host / "etc/acme-cert/live/shop")
    assert log(host).splitlines() == ["nginx -t -q", "systemctl try-reload-or-restart nginx.service"]


def test_a_certificate_that_is_served_already_needs_no_reload(run: Run, host: Path) -> None:
    get(host)
    run("reload.sh.j2")
    (host / "log").unlink()
    again = run("reload.sh.j2")
    assert (again.returncode, again.stdout, log(host)) == (0, "", "")


def test_a_renewed_certificate_is_reloaded(run: Run, host: Path) -> None:
    get(host)
    run("reload.sh.j2")
    get(host, "renewed")
    (host / "log").unlink()
    assert run("reload.sh.j2").returncode == 0
    assert "reload" in log(host)


def test_an_invalid_configuration_is_not_reloaded_and_fails_until_it_is_fixed(run: Run, host: Path) -> None:
    get(host)
    (host / "refuses").touch()
    for _ in range(2):
        assert run("reload.sh.j2").returncode == 1
        assert "systemctl" not in log(host)
        assert served(host) == str(host / "var/lib/acme-cert/own"), "nginx could not start again"
    (host / "refuses").unlink()
    assert run("reload.sh.j2").returncode == 0
    assert served(host).endswith("live/shop")


def test_an_external_certificate_is_served_and_rejected_in_the_same_way(run: Run, host: Path) -> None:
    get(host)
    run("reload.sh.j2")
    ours = host / "var/lib/acme-cert/elsewhere"
    ours.mkdir()
    (ours / "fullchain.pem").write_text("ours")
    (host / "refuses").touch()
    assert run("reload.sh.j2", str(ours)).returncode == 1
    assert served(host).endswith("live/shop")
    (host / "refuses").unlink()
    assert run("reload.sh.j2", str(ours)).returncode == 0
    assert served(host) == str(ours)


def asked(host: Path) -> str:
    return next(line for line in log(host).splitlines() if line.startswith("certbot") and "--version" not in line)


def test_a_renewal_uses_certbots_settings_and_does_not_sleep(run: Run, host: Path) -> None:
    (host / "etc/acme-cert/renewal/shop.conf").write_text("server = x\n")
    assert run("renew.sh.j2").returncode == 0
    assert asked(host).startswith("certbot renew ")
    assert "--no-random-sleep-on-renew" in asked(host) and "--cert-name shop" in asked(host)
    assert "--force-renewal" not in asked(host) and "--config " not in asked(host)


@pytest.mark.parametrize("script", ["", "#!/bin/sh\n", "#!/bin/sh\nexit 1\n"])
def test_a_certbot_that_does_nothing_is_a_failed_renewal(run: Run, host: Path, script: str) -> None:
    (host / "etc/acme-cert/renewal/shop.conf").write_text("server = x\n")
    (host / "opt/certbot/current/bin/certbot").write_text(script)
    done = run("renew.sh.j2")
    assert done.returncode == 1
    assert "does not print its version; run the playbook again" in done.stderr


def test_a_renewal_can_be_forced(run: Run, host: Path) -> None:
    (host / "etc/acme-cert/renewal/shop.conf").write_text("server = x\n")
    (host / "run/acme-cert-force-shop").touch()
    run("renew.sh.j2")
    assert "--force-renewal" in asked(host)


def test_a_host_without_a_certificate_requests_it_at_each_renewal(run: Run, host: Path) -> None:
    # A wildcard is a name, whatever lies about.
    (host / "a.example.com,x.example.com").touch()
    run("renew.sh.j2")
    assert asked(host).startswith("certbot certonly --config")
    assert "--domains a.example.com,*.example.com --ip-address 192.0.2.1" in asked(host)
