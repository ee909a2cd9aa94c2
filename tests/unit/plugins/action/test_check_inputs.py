"""Invalid inputs are refused with the variable, the problem and the correction.

Each check is a run of ansible-playbook on an inventory; no host is contacted.
"""

import yaml
from ansible_collections.bulwark.flask.tests.unit import support
from ansible_collections.bulwark.flask.tests.unit.plugins.action.inputs_checked import GOOD, check


def test_good_input_passes(tmp_path):
    good, text = check(tmp_path, {"flask_apps": {"shop": GOOD}, "acme_cert_email": "ops@example.com"})
    assert good, text


def test_the_example_inventory_passes(tmp_path):
    inventory = yaml.safe_load((support.ROOT / "inventory.example").read_text())["all"]["vars"]
    good, text = check(tmp_path, inventory)
    assert good, text


def test_an_inventory_without_applications_is_refused(tmp_path):
    good, text = check(tmp_path, {})
    assert not good
    assert "flask_apps" in text


def test_all_problems_are_listed_at_once(tmp_path):
    good, text = check(tmp_path, {
        "flask_apps": {
            "shop": {"domains": ["https://Shop.example.com/"], "source": {}, "wsgi": "shop", "gunicorn_app": {"worker": 4}},
            "other": {**GOOD, "env": {"FLASK_SECRET_KEY": "hunter2-hunter2"}, "domain": "x.example.com"},
            "Third": {**GOOD},
        },
        "acme_cert_email": "nobody",
        "nginx_server_keepalive": 5,
        "gunicorn_app_workers": 4,
    })
    assert not good
    for part in ("shop.domains", "shop.source", "shop.wsgi", "shop.gunicorn_app.worker", "workers", "FLASK_SECRET_KEY",
                 "other.domain", "Third", "acme_cert_email", "nginx_server_keepalive_seconds", "flask_app_defaults"):
        assert part in text, part
    assert "hunter2" not in text


def test_two_applications_do_not_share_a_domain(tmp_path):
    good, text = check(tmp_path, {"flask_apps": {"a": GOOD, "b": GOOD}})
    assert not good
    assert "shop.example.com" in text


def test_a_password_in_an_address_is_not_shown(tmp_path):
    source = {"git": "https://me:hunter2@git.example.com/shop.git"}
    good, text = check(tmp_path, {"flask_apps": {"shop": {**GOOD, "source": source}}})
    assert not good
    assert "hunter2" not in text


def test_a_wrong_value_of_session_store_is_refused(tmp_path):
    good, text = check(tmp_path, {
        "flask_apps": {"shop": {**GOOD, "session_store": "yes"}, "session-store": {**GOOD, "domains": ["other.example.com"]}},
        "session_store_memory_mb": 8, "session_store_when_full": "evicted", "session_store_persistence": "snapshots",
    })
    assert not good
    for part in ("flask_apps.shop.session_store must be true or false", "session-store is an account, a group or a directory of the system",
                 "session_store_memory_mb must be 16 or more", "did you mean evict?", "did you mean snapshot?"):
        assert part in text, part


def test_an_application_may_ask_for_the_session_store(tmp_path):
    good, text = check(tmp_path, {"flask_apps": {"shop": {**GOOD, "session_store": True}}, "session_store_persistence": "none"})
    assert good, text


def test_secrets_that_cannot_be_made_or_passed_on_are_named_and_not_shown(tmp_path):
    good, text = check(tmp_path, {"flask_apps": {
        "shop": {**GOOD, "env": {"FLASK_SECRET_KEY": None}, "app_secrets": {
            "generated": {"TOKEN": "base46", "1ST": "hex"}, "fallback_days": 0, "remove": ["A-B"],
            "credentials": {"../x": "hunter2", ".hidden": "hunter3", "pin": 424242, "none": None, "good.pem": "hunter4"}}},
        "blog": {**GOOD, "domains": ["blog.example.com"], "app_secrets": {"generated": "FLASK_SECRET_KEY", "current": "/x"}},
    }})
    assert not good
    for part in ("shop.env.FLASK_SECRET_KEY is empty", "generated.TOKEN must be one of url-safe, hex, fernet", "generated: every name",
                 "fallback_days must be 1 or more", "remove must be names", "a credential's name is that of a file",
                 "credentials.pin must be a text", "credentials.none must be a text", "blog.app_secrets.generated must be a list"):
        assert part in text, part
    assert "hunter" not in text
    assert "424242" not in text
    assert "good.pem" not in text


def test_a_single_role_reports_settings_that_contradict_each_other(tmp_path):
    alone = [{"hosts": "all", "gather_facts": False, "tasks": [{"bulwark.flask.check_inputs": {"role": "alarm_channel"}}]}]
    good, text = check(tmp_path, {"alarm_channel_sites": {}, "alarm_channel_certificate_critical_percent": 30}, alone)
    assert not good
    assert "alarm_channel_certificate_critical_percent must be below alarm_channel_certificate_warning_percent (25)" in text


def test_a_path_of_a_site_that_is_wrong_is_refused(tmp_path):
    site = {"paths": {"/admin": {"users": ["alice"]}, "/x;y": {"websocket": True}}, "headers": {"X-A": "$cookie_session"},
            "proxies": {"addresses": ["0.0.0.0/0"]}, "users": {"bob": "hunter2"}}
    good, text = check(tmp_path, {"flask_apps": {"shop": {**GOOD, "nginx_site": site, "health_path": '/x";}'}}})
    assert not good
    for part in ("nginx_site.paths./admin.users: alice", "nginx_site.paths: '/x;y'", "nginx_site.headers.X-A", "nginx_site.proxies.addresses[0]",
                 "nginx_site.users.bob", "health_path"):
        assert part in text, part
    assert "hunter2" not in text


def test_a_site_that_needs_a_missing_feature_of_nginx_is_refused(tmp_path):
    app = {**GOOD, "nginx_site": {"brotli": True, "http3": True}}
    good, text = check(tmp_path, {"flask_apps": {"shop": app}, "nginx_server_http3": True, "nginx_server_catch_all": False})
    assert not good
    for part in ("nginx_site.brotli needs nginx_server_brotli", "nginx_server_http3 needs nginx_server_catch_all"):
        assert part in text, part
    assert check(tmp_path, {"flask_apps": {"shop": app}, "nginx_server_http3": True, "nginx_server_brotli": True})[0]


def test_a_certificate_for_old_clients_on_a_site_that_refuses_them_is_refused(tmp_path):
    app = {**GOOD, "acme_cert": {"rsa_certificate": True}}
    assert check(tmp_path, {"flask_apps": {"shop": app}})[0]
    for settings in ({"flask_apps": {"shop": {**app, "nginx_site": {"tls_profile": "modern"}}}},
                     {"flask_apps": {"shop": app}, "nginx_server_tls_profile": "modern"}):
        good, text = check(tmp_path, settings)
        assert not good and "acme_cert.rsa_certificate is for clients that have TLS 1.2 at most, which" in text


def test_settings_of_access_are_checked(tmp_path):
    good, text = check(tmp_path, {
        "flask_apps": {"shop": GOOD}, "host_access_ssh_ports": [], "host_access_ssh_from": ["192.0.2.1/24"], "host_access_ssh_users": ["a b"],
        "host_access_ssh_settings": {"Port": 2222, "PermitRootLogin": False, "Match": "all", "Banner": ""}, "host_access_tcp_ports": [80, 80],
        "host_access_ssh_failures": 2, "host_access_udp_ports": [70000],
        "host_access_outgoing": {"shop": 443, "Not An Account": [443]}, "host_access_confirm_seconds": 5, "host_access_firewal": True,
    })
    assert not good
    for part in ("ssh_ports must be one or more ports", "ssh_from must be addresses or networks without host bits", "ssh_users must be accounts",
                 "ssh_settings.Port has no place here; write host_access_ssh_ports", "PermitRootLogin was read as true or false",
                 "ssh_settings.Match has no place here", "ssh_settings.Banner must be one line", "tcp_ports must be ports",
                 "udp_ports must be ports", "outgoing.shop must be a list of ports", "outgoing: every name is an account's",
                 "confirm_seconds must be a number of seconds, 20 to 600", "ssh_failures must be a number of connections, 5 to",
                 "did you mean host_access_firewall?"):
        assert part in text, part


def test_a_port_of_ssh_is_not_also_open_to_all(tmp_path):
    good, text = check(tmp_path, {"flask_apps": {"shop": GOOD}, "host_access_ssh_ports": [22, 443], "host_access_ssh_from": ["192.0.2.0/24"]})
    assert not good
    assert "host_access_tcp_ports has 443, a port of SSH" in text


def test_an_address_is_written_plainly_and_one_for_each_host(tmp_path):
    def said(**domains):
        apps = {name: {**GOOD, "domains": given, "acme_cert": {"profile": "shortlived"}} for name, given in domains.items()}
        return check(tmp_path, {"flask_apps": apps})
    assert said(shop=["shop.example.com", "192.0.2.1", "2001:db8::1"])[0]
    for domain, words in (("[2001:DB8::1]", "write 2001:db8::1"), ("127.0.0.1", "clients cannot reach 127.0.0.1"),
                          ("192.0.2.300", "is neither a name nor an address"), ("192.0.2.1:443", "leave out port, path and user")):
        good, text = said(shop=["shop.example.com", domain])
        assert not good and words in text, domain
    good, text = said(shop=["192.0.2.1"], wiki=["192.0.2.2"])
    assert not good and "192.0.2.2 cannot be served, as flask_apps.shop has an address of IPv4 already" in text
    assert said(shop=["192.0.2.1"], wiki=["2001:db8::1"])[0]
    assert check(tmp_path, {"flask_apps": {"shop": {**GOOD, "domains": ["192.0.2.1"]}}, "acme_cert_directory_url": "https://ca.example.com/dir"})[0]


def test_files_have_a_content_a_plain_name_and_a_path_of_their_own(tmp_path):
    good, text = check(tmp_path, {"flask_apps": {
        "shop": {**GOOD, "files": {"isso.cfg": {"content": "hunter2", "path": "instance/isso.cfg", "mode": "0644"}, "../a": {"content": "hunter3"},
                                   "b.yml": "hunter4", "key.pem": {"content": "hunter5", "path": "/etc/key.pem"}},
                 "app_secrets": {"credentials": {"isso.cfg": "hunter6"}}},
        "notes": {**GOOD, "domains": ["notes.example.com"], "files": {"isso.cfg": {"content": "text", "path": "conf/isso.cfg"}}},
    }})
    assert not good
    assert "hunter" not in text and "flask_apps.notes" not in text
    for part in ("shop.files.isso.cfg.mode is unknown", "files.isso.cfg.path is below instance of flask_apps.shop.shared",
                 "files.isso.cfg and flask_apps.shop.app_secrets.credentials.isso.cfg have the same name",
                 "files: the name of a file has", "files.b.yml must have its content as a text", "files.key.pem.path must be a path below"):
        assert part in " ".join(text.split()), part


def test_the_directory_of_an_application_is_written_once(tmp_path):
    good, text = check(tmp_path, {"flask_apps": {
        "shop": {**GOOD, "app_release": {"subdirectory": "backend"}}, "notes": {**GOOD, "domains": ["notes.example.com"], "subdirectory": "backend"},
        "wiki": {**GOOD, "domains": ["wiki.example.com"], "subdirectory": "../wiki"},
        "isso": {**GOOD, "domains": ["isso.example.com"], "subdirectory": "isso", "source": {"package": "isso==0.13.0"}},
    }})
    text = " ".join(text.split())
    assert not good and "flask_apps.notes" not in text
    assert "shop.app_release.subdirectory belongs one level up; write flask_apps.shop.subdirectory" in text
    assert "wiki.subdirectory must be a path below the source without" in text
    assert "isso.subdirectory has no meaning for a package; leave it out" in text


def test_every_role_takes_the_directory_from_the_entry():
    app = support.SHOP | {"subdirectory": "backend"}
    assert support.role_vars("app_release", app)["__app_release_options"]["subdirectory"] == "backend"
    assert "WorkingDirectory=/srv/shop/instances/%i/release/src/backend" in support.render("gunicorn_app", "gunicorn.service.j2", app).splitlines()


def test_the_source_of_dependencies_is_checked_and_no_password_is_shown(tmp_path):
    given = {"python": 3.12, "python_packages": ["https://example.com/x.whl", "--pre"], "extras": ["pg sql"], "groups": "web", "extra_index_urls": ["https://jo:hunter2@pypi.example.com/simple"],
             "download_credentials": {"https://jo:hunter3@pypi.example.com": "hunter4", "git.example.com": "hunter5 hunter6", "pypi.example.com": 7}}
    good, text = check(tmp_path, {"flask_apps": {
        "shop": {**GOOD, "app_release": given},
        "notes": {**GOOD, "domains": ["notes.example.com"], "app_release": {
            "python": "3.12", "python_packages": ["setuptools<81", "psycopg[binary] ==3.3.*", "cachetools"],
            "extras": ["pgsql"], "groups": ["web"], "extra_index_urls": ["https://pypi.example.com/simple"],
            "download_credentials": {"pypi.example.com": "jo:hunter7"}}}}})
    text = " ".join(text.split())
    assert not good and "hunter" not in text and "flask_apps.notes" not in text
    for part in ("shop.app_release.python must be a text; put it in quotes", "app_release.python_packages must be names of Python packages",
                 "app_release.extras must be names of extras",
                 "app_release.groups must be a list", "app_release.extra_index_urls must be URLs without user and password",
                 "'pypi.example.com' must be a host alone", "download_credentials.git.example.com must be a token or user:password",
                 "download_credentials.pypi.example.com must be a token"):
        assert part in text, part
