"""app_logging: limits of the journal and the rotation."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulwark.flask.tests.unit import support


def test_the_journal_has_a_size_and_an_age() -> None:
    app = support.SHOP | {"app_logging": {"journal_max_mb": 50, "journal_days": 7, "journal_burst_lines": 0}}
    text = support.render("app_logging", "journald.conf.j2", app)
    for line in ("Storage=persistent", "SystemMaxUse=50M", "MaxRetentionSec=7day", "MaxFileSec=1day", "RateLimitBurst=0",
                 "ForwardToSyslog=no"):
        assert f"\n{line}\n" in text


def test_the_logs_of_one_application_rotate_by_day_and_size() -> None:
    app = support.SHOP | {"name": "my-shop_2", "app_logging": {"nginx_days": 3, "nginx_max_mb": 5}}
    text = support.render("app_logging", "logrotate.j2", app)
    assert "/var/log/nginx/my-shop_2/*.log {" in text
    for line in ("daily", "maxsize 5M", "rotate 3", "maxage 3", "create 0640 www-data adm", "compress", "sharedscripts"):
        assert f"    {line}\n" in text
    assert "systemctl kill --kill-whom=main --signal=USR1 nginx" in text


def test_the_web_server_finds_its_logs_made_for_adm_only() -> None:
    text = support.render("app_logging", "tmpfiles.conf.j2")
    assert "f /var/log/nginx/shop/access.log 0640 www-data adm -\n" in text
    assert "f /var/log/nginx/shop/error.log 0640 www-data adm -\n" in text


def test_logrotate_looks_every_ten_minutes() -> None:
    assert "OnCalendar=\nOnCalendar=*:0/10\n" in support.render("app_logging", "timer.conf.j2")


def files(**section: Any) -> dict[str, dict[str, Any]]:
    found = support.role_vars("app_logging", support.SHOP | {"app_logging": section})
    ships = found["__app_logging_ship"]
    return {entry["dest"]: entry for entry in found["__app_logging_ship_files" if ships else "__app_logging_no_ship_files"]}


def test_nothing_is_shipped_unless_a_collector_is_named() -> None:
    assert files() and all(entry["state"] == "absent" for entry in files().values())
    assert files(ship_host="logs.example.com")["/etc/flask-logs/shop.conf"]["template"] == "rsyslog.conf.j2"


def test_lines_are_sent_over_tls_to_the_named_collector_only() -> None:
    app = support.SHOP | {"app_logging": {"ship_host": "logs.example.com", "ship_port": 10514, "ship_queue_max_mb": 70}}
    text = support.render("app_logging", "rsyslog.conf.j2", app)
    for setting in ('target="logs.example.com"', 'port="10514"', 'StreamDriverMode="1"', 'StreamDriverAuthMode="x509/name"',
                    'StreamDriverPermittedPeers="logs.example.com"', 'StreamDriver.PermitExpiredCerts="off"',
                    'action.resumeRetryCount="-1"', 'queue.maxDiskSpace="70m"', 'Ratelimit.Interval="0"',
                    'defaultNetstreamDriverCAFile="/etc/ssl/certs/ca-certificates.crt"'):
        assert setting in text
    assert text.count("action(") == 1
