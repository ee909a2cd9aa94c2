"""app_logging: limits of the journal and the rotation."""

from __future__ import annotations

import support


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
    assert 'kill -USR1 "$(cat /run/nginx.pid)"' in text


def test_the_web_server_finds_its_logs_made_for_adm_alone() -> None:
    text = support.render("app_logging", "tmpfiles.conf.j2")
    assert "f /var/log/nginx/shop/access.log 0640 www-data adm -\n" in text
    assert "f /var/log/nginx/shop/error.log 0640 www-data adm -\n" in text


def test_logrotate_looks_every_hour() -> None:
    assert "OnCalendar=\nOnCalendar=hourly\n" in support.render("app_logging", "timer.conf.j2")
