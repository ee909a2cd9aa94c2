"""Rendered files of nginx_server."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.bulwark.flask.tests.unit.support import FACTS, ROLES, render, role_vars

BOOKWORM = FACTS | {"distribution_major_version": "12"}
NO_IPV6 = FACTS | {"lo": {"device": "lo", "ipv4": {"address": "127.0.0.1"}}}


def directive(text: str, name: str) -> list[str]:
    """The arguments of every occurrence of a directive."""
    return re.findall(rf"^\s*{name}\s+([^;]+);", text, re.MULTILINE)


def sandbox(**extra: object) -> list[str]:
    return render("nginx_server", "sandbox.conf.j2", **extra).splitlines()


def test_only_current_tls_is_spoken_with_forward_secrecy() -> None:
    text = render("nginx_server", "nginx.conf.j2")
    assert directive(text, "ssl_protocols") == ["TLSv1.2 TLSv1.3"]
    assert directive(text, "ssl_session_tickets") == ["off"]
    ciphers = directive(text, "ssl_ciphers")[0].split(":")
    assert ciphers and all(c.startswith("ECDHE-") and ("GCM" in c or "CHACHA20" in c) for c in ciphers)


def test_the_modern_profile_allows_only_tls_1_3() -> None:
    text = render("nginx_server", "nginx.conf.j2", nginx_server_tls_profile="modern")
    assert directive(text, "ssl_protocols") == ["TLSv1.3"]
    assert directive(text, "ssl_ciphers") == []
    assert directive(text, "ssl_session_tickets") == ["off"]


def test_the_post_quantum_curve_is_first_where_openssl_has_it_and_absent_where_nginx_would_not_start() -> None:
    assert directive(render("nginx_server", "nginx.conf.j2"), "ssl_ecdh_curve") == ["X25519MLKEM768:X25519:prime256v1:secp384r1"]
    old = render("nginx_server", "nginx.conf.j2", ansible_facts=BOOKWORM)
    assert directive(old, "ssl_ecdh_curve") == ["X25519:prime256v1:secp384r1"]


def test_the_same_input_renders_the_same_text() -> None:
    assert len({render("nginx_server", "nginx.conf.j2") for _ in range(5)}) == 1


def test_sites_of_others_stay_included() -> None:
    included = directive(render("nginx_server", "nginx.conf.j2"), "include")
    assert "/etc/nginx/sites-enabled/*" in included
    assert "/etc/nginx/conf.d/*.conf" in included
    assert "/etc/nginx/modules-enabled/*.conf" in included


def test_the_version_is_not_shown() -> None:
    assert directive(render("nginx_server", "nginx.conf.j2"), "server_tokens") == ["off"]


def test_unknown_names_get_nothing_but_challenges() -> None:
    text = render("nginx_server", "catch-all.conf.j2")
    assert directive(text, "listen") == ["80 default_server", "[::]:80 default_server",
                                         "443 ssl", "[::]:443 ssl"]
    assert directive(text, "return") == ["444", "444"]
    assert directive(text, "ssl_reject_handshake") == ["on"]
    assert directive(text, "root") == ["/var/lib/acme-cert/webroot"]


def test_a_load_balancer_gets_a_response_by_address() -> None:
    assert "nginx_server_prober" not in render("nginx_server", "catch-all.conf.j2")
    text = render("nginx_server", "catch-all.conf.j2", nginx_server_probe={"path": "/up", "allow": ["10.0.0.0/8"]})
    assert directive(text, "10.0.0.0/8") == ["1"]
    assert directive(text, "return") == ["444", "200 ok", "444", "444"]


def test_a_host_without_ipv6_listens_on_ipv4_only() -> None:
    assert "[::]" not in render("nginx_server", "catch-all.conf.j2", ansible_facts=NO_IPV6)
    with_it = FACTS | {"lo": {"ipv6": [{"address": "::1"}]}}
    assert "[::]" in render("nginx_server", "catch-all.conf.j2", ansible_facts=with_it)


def test_nothing_of_an_unknown_name_is_logged() -> None:
    text = render("nginx_server", "catch-all.conf.j2")
    assert directive(text, "access_log") == ["off", "off"]
    assert all(value.endswith(" emerg") for value in directive(text, "error_log"))


@pytest.mark.parametrize("line", ["NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "MemoryDenyWriteExecute=yes",
                                  "RestrictNamespaces=yes", "SystemCallFilter=@system-service",
                                  "SystemCallFilter=~@privileged @resources",
                                  "LimitNOFILE=16384"])
def test_the_sandbox_has(line: str) -> None:
    assert line in sandbox()


def test_the_sandbox_keeps_no_capability_to_look_into_other_processes_or_mount() -> None:
    caps = next(line for line in sandbox() if line.startswith("CapabilityBoundingSet="))
    assert not {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_NET_ADMIN", "CAP_KILL"} & set(re.split("[= ]", caps))


def test_an_operator_opens_the_sandbox_line_by_line() -> None:
    lines = sandbox(nginx_server_sandbox={"PrivateTmp": "no"}, nginx_server_writable_paths=["/var/www/x"])
    assert "PrivateTmp=no" in lines and "PrivateTmp=yes" not in lines
    assert any(line.startswith("ReadWritePaths=") and line.endswith(" /var/www/x") for line in lines)
    assert "ProtectSystem=strict" in lines


def test_the_catch_all_can_be_left_to_another_site() -> None:
    assert role_vars("nginx_server")["__nginx_server_catch_all_file"]["template"] == "catch-all.conf.j2"
    off = role_vars("nginx_server", nginx_server_catch_all=False)["__nginx_server_catch_all_file"]
    assert off == {"dest": "/etc/nginx/conf.d/00-catch-all.conf", "state": "absent"}


def test_debians_welcome_page_is_removed_and_the_previous_configuration_is_kept() -> None:
    tasks = yaml.safe_load((ROLES / "nginx_server/tasks/main.yml").read_text())
    (part,) = [task["bulwark.flask.host_part"] for task in tasks if "bulwark.flask.host_part" in task]
    assert part["packaged_absent"] == ["/etc/nginx/sites-enabled/default"]
    files = {f["dest"]: f for f in role_vars("nginx_server")["__nginx_server_files"]}
    assert files["/etc/nginx/nginx.conf"]["backup"] is True


def test_the_proof_runs_nginx_with_every_line_of_the_sandbox() -> None:
    script = (ROLES / "nginx_server" / "templates" / "test-in-sandbox.sh.j2").read_text()
    assert "systemd-run" in script and '"--property=$line"' in script


def test_http3_is_listened_for_once_where_nginx_has_it() -> None:
    text = render("nginx_server", "catch-all.conf.j2", nginx_server_http3=True)
    assert [one for one in directive(text, "listen") if "quic" in one] == ["443 quic reuseport", "[::]:443 quic reuseport"]
    assert "quic" not in render("nginx_server", "catch-all.conf.j2", nginx_server_http3=True, ansible_facts=BOOKWORM)
    assert "quic" not in render("nginx_server", "catch-all.conf.j2")
