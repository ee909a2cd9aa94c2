"""nginx without root on a host with other sites: changes by others work, or fail with a reason."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import nginx_files
from host.playbooks import Run

ADDED = "/etc/nginx/conf.d/added.conf"
LOG = "/var/log/nginx/added.log"
KEY = "/etc/ssl/private/added.key"
SITE = f"server {{ listen 127.0.0.1:8081; access_log {LOG}; return 200 added; }}\n"
TLS = f"server {{ listen 127.0.0.1:8082 ssl; ssl_certificate /etc/ssl/certs/added.pem; ssl_certificate_key {KEY}; return 200 added; }}\n"
WITHIN = "timeout 15 sh -c 'until %s; do sleep 0.2; done'"
ASK = """python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:8081/", timeout=5).read().decode())'"""


@pytest.fixture(scope="session")
def host(step: Callable[..., Any], at: Callable[..., Any]) -> Any:
    """The host where nothing else decides who nginx is."""
    step("again")
    return at("debian12").server.host


@pytest.fixture
def added(host: Any) -> Iterator[Callable[[str], None]]:
    """Writes a file as another role would, and removes it again."""
    yield lambda text: host.check_output("printf %%s %s > %s", text, ADDED)
    host.check_output(f"rm -f {ADDED} {LOG} {KEY} /etc/ssl/certs/added.pem && systemctl reload-or-restart nginx")


def test_nginx_is_not_root(host: Any) -> None:
    assert set(host.check_output("ps -o user= -C nginx").split()) == {"www-data"}


def test_a_site_with_a_log_of_its_own_is_served_after_a_reload(host: Any, added: Callable[[str], None]) -> None:
    added(SITE)
    # What a role does, as root.
    host.check_output("nginx -t -q && systemctl reload nginx")
    assert host.check_output(ASK) == "added"
    host.check_output(WITHIN % f"grep -q GET {LOG}")
    assert host.file(LOG).user == "www-data"


def test_a_reload_that_fails_has_a_reason_and_changes_nothing(host: Any, added: Callable[[str], None]) -> None:
    host.check_output(f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=added -keyout {KEY} -out /etc/ssl/certs/added.pem 2>/dev/null")
    added(SITE + TLS)
    before = host.check_output("systemctl show --property=MainPID nginx")
    done = host.run("systemctl reload nginx")
    assert done.rc != 0
    assert f'cannot load certificate key "{KEY}"' in host.check_output("journalctl --unit=nginx --lines=20 --output=cat")
    assert host.run(ASK).rc != 0
    assert host.check_output("systemctl show --property=MainPID nginx") == before
    host.check_output(f"chgrp ssl-cert {KEY} && chmod 640 {KEY} && systemctl reload nginx")
    assert host.check_output(ASK) == "added"


def test_a_validation_while_nginx_is_stopped_does_not_prevent_its_start(host: Any, added: Callable[[str], None]) -> None:
    added(SITE)
    host.check_output("systemctl stop nginx && nginx -t -q && test -e /run/nginx/nginx.pid && systemctl start nginx")
    assert host.check_output(ASK) == "added"


def test_it_starts_where_nothing_was_made_for_it(host: Any) -> None:
    host.check_output("systemctl stop nginx && rm -r /run/nginx /var/lib/nginx/* && systemctl start nginx")
    assert host.check_output("stat -c %U:%G /run/nginx /var/lib/nginx/body").split() == ["root:ssl-cert", "www-data:root"]


def test_all_conflicts_with_files_of_others_are_named_at_once_in_check_mode_too(
    host: Any, added: Callable[[str], None], after: Callable[[str], Callable[..., Run]],
) -> None:
    added("server_tokens on;\nkeepalive_timeout 65;\nserver { listen 80 default_server; return 200; }\n")
    for options in (["--check"], []):
        run = after("debian12")("site", *options)
        assert run.rc != 0
        run.says(f"{ADDED}, line 1: server_tokens", f"{ADDED}, line 2: keepalive_timeout", "nginx_server_keepalive_seconds changes its value",
                 f"{ADDED}, line 3: this server is the default of *:80", "set nginx_server_catch_all: false")


def test_the_conflicts_are_those_that_nginx_reports(host: Any, added: Callable[[str], None], tmp_path: Path) -> None:
    text = host.file(nginx_files.MAIN).content_string
    ours = [one for one in nginx_files.directives(text) if one.blocks == ("http",) and not one.opens and one.words[0] != "include"]
    (tmp_path / "etc/nginx/conf.d").mkdir(parents=True)
    refused, predicted = {}, {}
    for one in ours:
        line = f"{shlex.join(one.words)};\n"
        added(line)
        refused[line] = "directive is duplicate" in host.run("nginx -t").stderr
        (tmp_path / ADDED[1:]).write_text(line)
        predicted[line] = bool(nginx_files.conflicts({nginx_files.MAIN: text}, (), {}, str(tmp_path)))
    assert predicted == refused and len(refused) > 20


# The status of a request for the path by this address, as a load balancer sends it; 0 without a response.
PROBE = """python3 -c '
import http.client, sys
try:
    client = http.client.HTTPConnection(sys.argv[1], 80, timeout=5)
    client.request("GET", "/up")
    print(client.getresponse().status)
except (OSError, http.client.HTTPException):
    print(0)
' %s"""
OWN_ADDRESS = "hostname -I | cut -d' ' -f1"


def test_load_balancers_of_named_networks_get_a_response_by_address(host: Any, after: Callable[[str], Callable[..., Run]]) -> None:
    play, own = after("debian12"), host.check_output(OWN_ADDRESS)
    assert host.check_output(PROBE % "127.0.0.1") == "0"
    run = play("site", "--tags", "nginx_server", "-e", '{"nginx_server_probe": {"path": "/up", "allow": ["127.0.0.0/8"]}}')
    try:
        assert run.rc == 0, run.output
        assert [host.check_output(PROBE % address) for address in ("127.0.0.1", own)] == ["200", "0"]
    finally:
        run = play("site", "--tags", "nginx_server")
    assert run.rc == 0 and host.check_output(PROBE % "127.0.0.1") == "0"


DEFAULT = "/etc/nginx/sites-enabled/default"


@pytest.fixture
def default_site(host: Any) -> Iterator[None]:
    """Debian's first site, with the text of the host's owner."""
    host.check_output("mkdir -p /etc/nginx/sites-available && printf 'server { listen 127.0.0.1:8083; return 200 mine; }\n' "
                      f">/etc/nginx/sites-available/default && ln -sf ../sites-available/default {DEFAULT}")
    yield
    host.check_output(f"rm {DEFAULT} && systemctl reload nginx")


@pytest.mark.usefixtures("default_site")
def test_a_default_site_that_was_changed_stays_and_is_named(host: Any, after: Callable[[str], Callable[..., Run]]) -> None:
    run = after("debian12")("site", "--tags", "nginx_server")
    assert run.rc == 0, run.output
    assert f"{DEFAULT} is not as a Debian package installed it, and stays" in run.words
    assert host.check_output(f"cat {DEFAULT}") == "server { listen 127.0.0.1:8083; return 200 mine; }"


def test_debians_own_programs_reach_it(host: Any) -> None:
    before = host.check_output("systemctl show --value --property=MainPID nginx")
    # What an upgrade of the package does: another program takes over the connections.
    host.check_output("invoke-rc.d nginx upgrade")
    host.check_output(WITHIN % f"[ $(systemctl show --value --property=MainPID nginx) != {before} ]")
    master = host.check_output("systemctl show --value --property=MainPID nginx")
    assert host.check_output("cat /run/nginx/nginx.pid") == master
    assert host.check_output("ps -o user= -p %s", master) == "www-data"
    # An empty log is not rotated.
    host.check_output("echo >> /var/log/nginx/error.log && logrotate --force /etc/logrotate.d/nginx")
    host.check_output(WITHIN % f"[ /proc/{master}/fd/2 -ef /var/log/nginx/error.log ]")


def test_the_logs_of_an_application_are_opened_again_when_they_are_rotated(host: Any) -> None:
    master = host.check_output("systemctl show --value --property=MainPID nginx")
    # An empty log is not rotated.
    host.check_output("echo '{}' >> /var/log/nginx/shop/access.log && logrotate --force /etc/logrotate.d/nginx-shop")
    host.check_output(WITHIN % f"find -L /proc/{master}/fd -samefile /var/log/nginx/shop/access.log | grep -q .")
