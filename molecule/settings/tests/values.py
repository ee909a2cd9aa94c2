"""Another valid value for every variable of every role, from its specification where that has enough, otherwise from a table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
HOST_ROLES = ("host_baseline", "host_access")

# Values that a specification cannot give. All are set at once, so they fit each other.
OTHER: dict[str, Any] = {
    "acme_cert_email": "others@example.test",
    "alarm_channel_ca_bundle": "/usr/local/share/acme-listener.pem",
    "alarm_channel_mail": {"to": ["ops@example.test"], "server": "pebble", "security": "none", "port": 2525},
    "alarm_channel_textfile_directory": "/var/lib/node-exporter",
    "alarm_channel_units": ["ssh.service"],
    "alarm_channel_webhook": {"url": "https://pebble:2443/hook"},
    "app_logging_ship_ca_file": "/usr/local/share/acme-listener.pem",
    "app_logging_ship_host": "pebble",
    "app_release_build": ["true"],
    "app_release_download_credentials": {"index.example.test": "user:password"},
    "app_release_files": {"extra.ini": {"content": "[extra]\n", "path": "extra.ini"}},
    "app_release_health_status": 200,
    "app_release_packages": ["tree"],
    "app_release_python_packages": ["tomli"],
    "app_release_policy": {"mode": "warn"},
    "app_release_post_activate": ["true"],
    "app_release_pre_activate": ["true"],
    "app_release_prepare": ["true"],
    "app_release_prepare_once": ["true"],
    "app_release_shared": ["instance", "uploads"],
    "app_release_warm_up": ["/healthz"],
    "app_secrets_credentials": {"token": "a-token-of-others"},
    "app_secrets_files": {"extra.ini": {"content": "[extra]\n", "path": "extra.ini"}},
    "gunicorn_app_config": {"SESSION_COOKIE_SAMESITE": "Strict"},
    "gunicorn_app_groups": ["adm"],
    "gunicorn_app_memory_max_mb": 900,
    "gunicorn_app_proxy_headers": ["X-Auth-Request-User"],
    "gunicorn_app_sandbox": {"LimitNOFILE": "2000"},
    "gunicorn_app_trusted_origins": ["https://other.example.test"],
    "gunicorn_app_workers": 2,
    "gunicorn_app_writable_paths": ["/var/lib/extra"],
    "host_access_never_ban": ["192.0.2.9"],
    "host_access_outgoing": {"shop": [443, 5432]},
    "host_access_proxies": ["192.0.2.0/24"],
    "host_access_ssh_from": ["10.0.0.0/8"],
    "host_access_ssh_groups": ["root"],
    "host_access_ssh_ports": [22, 2222],
    "host_access_ssh_settings": {"MaxSessions": 3},
    "host_access_ssh_users": ["root"],
    "host_access_tcp_ports": [80, 443, 8080],
    "host_access_udp_ports": [443],
    "host_baseline_banner": "Another banner.",
    "host_baseline_blocked_modules": ["cramfs"],
    "host_baseline_packages_absent": ["nis"],
    "host_baseline_reboot_at": "04:30",
    "host_baseline_sysctl": {"net.ipv4.conf.*.rp_filter": 1},
    "nginx_server_probe": {"path": "/up", "allow": ["10.0.0.0/8"]},
    "nginx_server_sandbox": {"LimitNOFILE": "20000"},
    "nginx_server_writable_paths": ["/var/lib/extra"],
    "nginx_site_client_ca": "/usr/local/share/acme-listener.pem",
    "nginx_site_cookie_flags": {"~": ["secure", "httponly"]},
    "nginx_site_csp": {"script-src": ["'self'", "https://cdn.example.com"]},
    "nginx_site_csp_report_only": {"default-src": ["'none'"]},
    "nginx_site_headers": {"X-Extra": "yes"},
    "nginx_site_hsts_subdomains": True,
    "nginx_site_log_parameters": ["page"],
    "nginx_site_log_files": False,
    "nginx_site_maintenance_allow": ["192.0.2.0/24"],
    "nginx_site_paths": {"/admin": {"users": ["alice"], "rate_per_second": 3, "rate_burst": 9}},
    "nginx_site_proxies": {"addresses": ["192.0.2.0/24"], "header": "X-Client"},
    "nginx_site_rate_limit_exempt": ["192.0.2.0/24"],
    "nginx_site_static_immutable": ["/static/hashed/"],
    "nginx_site_users": {"alice": "$6$abcdefgh$" + "a" * 86},
    "pip_audit_ignores": [{"id": "CVE-2099-1", "reason": "a test", "until": "2099-01-31"}],
    "pip_audit_private_packages": ["shop"],
    "session_store_memory_mb": 96,
}

# Variables that are not varied here, with the reason.
OMITTED: dict[str, str] = {
    "acme_cert_ca_bundle": "the CA of the test hosts",
    "acme_cert_directory_url": "the CA of the test hosts",
    "acme_cert_dns": "needs a name server: scenario certs",
    "acme_cert_eab_hmac_key": "needs a CA that requires it: scenario failures",
    "acme_cert_eab_kid": "needs a CA that requires it: scenario failures",
    "acme_cert_index_url": "needs another package index",
    "acme_cert_preflight_resolvers": "needs a name server: scenario certs",
    "acme_cert_profile": "needs a CA with profiles: scenario certs",
    "acme_cert_provided_chain": "with another source: scenario certs",
    "acme_cert_provided_key": "with another source: scenario certs",
    "acme_cert_requirements": "needs a lock file of others",
    "acme_cert_source": "replaces the certificate, whose files are new ones each time: scenario certs",
    "acme_cert_key_type": "replaces the certificate, whose files are new ones each time: scenario certs",
    "acme_cert_staging": "needs Let's Encrypt",
    "app_release_ca_bundle": "the certificates that reach the package index",
    "app_release_disk_max_mb": "needs a file system with project quotas: make quota",
    "app_release_extra_index_urls": "needs another package index",
    "app_release_extras": "the example has none",
    "app_release_force": "an action: it builds in each run",
    "app_release_groups": "the example has none",
    "app_release_index_url": "needs another package index",
    "app_release_python": "the test hosts have one Python",
    "app_release_requirements": "the example has one lock file",
    "app_release_subdirectory": "another application",
    "app_release_to": "an action: rollback.yml",
    "app_release_health_path": "a key of the entry, which the playbook passes to three roles",
    "app_secrets_generated": "a value that was generated stays, as an application may use it: scenario secrets",
    "app_secrets_remove": "an action",
    "gunicorn_app_subdirectory": "another application",
    "gunicorn_app_socket_group": "the group of the web server",
    "gunicorn_app_session_store": "a key of the entry, which the playbook passes to two roles",
    "gunicorn_app_body_max_mb": "a key of the entry, which the playbook passes to three roles",
    "gunicorn_app_header_max_kb": "a key of the entry, which the playbook passes to two roles",
    "app_release_body_max_mb": "a key of the entry, which the playbook passes to three roles",
    "nginx_site_body_max_mb": "a key of the entry, which the playbook passes to three roles",
    "nginx_site_header_max_kb": "a key of the entry, which the playbook passes to two roles",
    "nginx_site_health_path": "a key of the entry, which the playbook passes to three roles",
    "nginx_site_static": "a key of the entry, which the playbook passes to two roles",
    "host_access_confirm_seconds": "time of one run",
    "host_access_local_run": "about runs on the host itself: scenario collection",
    "nginx_server_acme_webroot": "one directory for three roles",
    "nginx_site_acme_webroot": "one directory for three roles",
    "nginx_site_certificate_rsa": "follows acme_cert_rsa_certificate",
    "acme_cert_rsa_certificate": "a second certificate is kept on the host until it expires: scenario certs",
    "nginx_site_csp_conflicts": "follows the release",
    "nginx_site_maintenance": "an action: maintenance.yml, scenario release",
    "nginx_site_maintenance_page": "a file on the controller",
    "nginx_site_template": "a template of others",
    "pip_audit_ca_bundle": "the certificates that reach the package index",
    "pip_audit_index_url": "needs another package index",
    "pip_audit_osv_url": "the service of the test hosts",
    "pip_audit_service": "the service of the test hosts",
}
# These exclude others, and have a run of their own.
APART = {"nginx_server_catch_all": False, "host_access_firewall": False, "host_access_bans": False}


class _Loader(yaml.CSafeLoader):
    pass


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def specification(role: str) -> dict[str, Any]:
    """The variables of a role."""
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    return dict(yaml.load(text, _Loader)["argument_specs"]["main"]["options"])


def other(name: str, option: dict[str, Any]) -> Any:
    """Another value than the default; None where there is no rule."""
    default = option.get("default")
    if "choices" in option:
        return next(choice for choice in option["choices"] if choice != default)
    return {"bool": lambda: not default, "int": lambda: default + 1}.get(option["type"], lambda: None)()


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The values as an inventory gives them: those that the entry of an application can have in `flask_app_defaults`."""
    variables: dict[str, Any] = {}
    for role in sorted(path.name for path in (ROOT / "roles").iterdir()):
        defaults = yaml.load((ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8"), _Loader)
        for name in values.keys() & defaults.keys():
            key = re.match(r"\{\{ flask_app\.(\w+)(?:\.(\w+))? \|", str(defaults[name]))
            # The inventory of the test hosts has it for the whole host.
            if key is None or name == "acme_cert_email":
                variables[name] = values[name]
            elif key[2] is None:
                variables.setdefault("flask_app_defaults", {})[key[1]] = values[name]
            else:
                variables.setdefault("flask_app_defaults", {}).setdefault(key[1], {})[key[2]] = values[name]
    return variables


def varied(roles: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The variables of roles with another value, and those for which no value is known."""
    values: dict[str, Any] = {}
    unknown = []
    for role in roles:
        for name, option in specification(role).items():
            # Without a default it is required, or computed from the entry or the host.
            if name in OMITTED or name in APART or "default" not in option and name not in OTHER:
                continue
            value = OTHER.get(name, other(name, option))
            if value is None:
                unknown.append(name)
            else:
                values[name] = value
    return values, unknown
