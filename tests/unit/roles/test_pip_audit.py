"""pip_audit: schedule, account and configuration."""

from __future__ import annotations

import datetime
import json
import re

from ansible_collections.bulwark.flask.tests.unit import support


def test_the_minute_is_the_same_on_every_run_and_differs_between_applications() -> None:
    def schedule(name: str) -> str:
        text = support.render("pip_audit", "cron.j2", support.SHOP | {"name": name})
        (line,) = re.findall(rf"^(\d+ \d+) \* \* \* pip-audit /usr/local/sbin/pip-audit-app {name} --scheduled$", text, re.MULTILINE)
        minute, hour = map(int, line.split())
        assert 0 <= minute <= 59 and 0 <= hour <= 23
        return line

    names = [f"app{n}" for n in range(20)]
    assert [schedule(name) for name in names] == [schedule(name) for name in names]
    assert len({schedule(name) for name in names}) > 15


def test_the_operator_may_choose_the_time() -> None:
    text = support.render("pip_audit", "cron.j2", support.SHOP | {"pip_audit": {"hour": 0, "minute": 5}})
    assert "\n5 0 * * * pip-audit " in text


def test_cron_mails_nothing() -> None:
    assert 'MAILTO=""\n' in support.render("pip_audit", "cron.j2")


def test_the_configuration_is_json_with_the_types_the_program_needs() -> None:
    app = support.SHOP | {"pip_audit": {"timeout_seconds": 5, "osv_url": "http://osv.test/v1/query", "private_packages": ["Shop"],
                                        "ignores": [{"id": "CVE-2025-47278", "reason": "no fallback keys", "until": datetime.date(2027, 1, 31)}]}}
    config = json.loads(support.render("pip_audit", "config.json.j2", app))
    assert config | {"_": ""} == {
        "_": "", "release": "/srv/shop/current/release", "service": "osv", "osv_url": "http://osv.test/v1/query",
        "timeout_seconds": 5, "request_timeout_seconds": 15, "private_packages": ["Shop"],
        "ignores": [{"id": "CVE-2025-47278", "reason": "no fallback keys", "until": "2027-01-31"}], "period_seconds": 86400,
        "ca_bundle": "/etc/ssl/certs/ca-certificates.crt"}


def test_the_account_has_no_shell_and_is_in_the_applications_group() -> None:
    text = support.render("pip_audit", "sysusers.conf.j2")
    assert re.search(r"^u pip-audit - .* /usr/sbin/nologin$", text, re.MULTILINE)
    assert "\nm pip-audit shop\n" in text


def test_the_tool_is_locked_with_hashes_and_names_no_index() -> None:
    text = (support.ROLES / "pip_audit/files/pip-audit.txt").read_text()
    assert "pip-audit==2.10.1" in text
    assert "http" not in text
    assert all("--hash=sha256:" in part for part in re.split(r"\n(?=[a-z])", text.strip()))


def test_the_socket_is_the_accounts_and_roots() -> None:
    text = support.render("pip_audit", "audit.socket.j2")
    for line in ("ListenStream=/run/pip-audit/shop.sock", "SocketUser=pip-audit", "SocketMode=0600", "Accept=yes"):
        assert f"\n{line}\n" in text


def test_the_unit_of_the_audit_ends_shortly_after_its_time_limit() -> None:
    text = support.render("pip_audit", "audit.service.j2", support.SHOP | {"pip_audit": {"timeout_seconds": 100}})
    assert "\nRuntimeMaxSec=760\n" in text
