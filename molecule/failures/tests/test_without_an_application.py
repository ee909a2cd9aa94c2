"""An application that is removed, and what stands in the way of its return."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from host.outside import Outside
from host.playbooks import Run
from steps import ROOT, STATE

HOST = "debian13"
# Of the name in these places; the audit's account and the store are shared.
LEFT = ("find /etc /srv /var/lib /var/cache /run/systemd/system -name *hostile* -not -path */parts/accounts.json; "
        "getent passwd hostile; getent group hostile; true")


@pytest.fixture(scope="module", name="play")
def _play(after: Callable[[str], Callable[..., Run]]) -> Callable[..., Run]:
    return after(HOST)


def test_a_run_after_the_records_were_deleted_changes_nothing_that_is_served(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    host = at(HOST, "shop").server.host
    live = host.check_output("readlink /srv/shop/current")
    host.run_expect([0], "rm -rf /var/lib/file_set")
    run = play("site")
    assert run.rc == 0, run.output
    assert host.check_output("readlink /srv/shop/current") == live
    assert play("site").count("changed")[HOST] == 0


def test_a_run_that_changes_nothing_takes_few_round_trips(after: Callable[[str], Callable[..., Run]], at: Callable[..., Any]) -> None:
    after(HOST)("site")
    run = after(HOST)("site", "-vvv")
    assert run.rc == 0 and run.count("changed")[HOST] == 0
    # The facts, and one look at the host, its applications and their sites.
    assert run.output.count("SSH: EXEC") == 2
    assert "bulwark.flask." not in "".join(line for line in run.output.splitlines() if line.startswith("TASK"))


LIVE = "gunicorn-shop@$(basename $(readlink /srv/shop/current)).service"
# What is not as the last run left it, and what the next run brings back, with or without a change.
DRIFT = {
    "a file of the site": ("echo >>/etc/nginx/sites-enabled/shop.conf", "grep -c . /etc/nginx/sites-enabled/shop.conf", True),
    "a release that was stopped": (f"systemctl stop {LIVE}", f"systemctl is-active {LIVE}", True),
    "a credential": ("echo x >/etc/flask-secrets/hostile.credentials/key.pem",
                     "systemd-creds decrypt --name=key.pem /etc/flask-secrets/hostile.credentials/key.pem -", True),
    "a link of a run that was killed": ("ln -s nowhere /srv/shop/.current.1", "ls -A /srv/shop | grep -c current", True),
    "the record of the run": ("rm /var/lib/file_set/complete/application-shop.json", "ls /var/lib/file_set/complete", False),
}
IN_SAMPLE = ("a file of the site", "a credential")


@pytest.mark.parametrize(("break_it", "show", "changes"), [
    pytest.param(*drift, id=name, marks=() if name in IN_SAMPLE else pytest.mark.beyond_sample) for name, drift in DRIFT.items()])
def test_what_is_not_as_the_last_run_left_it_needs_the_roles_again(
    play: Callable[..., Run], at: Callable[..., Any], break_it: str, show: str, changes: bool,
) -> None:
    host = at(HOST, "shop").server.host
    before = host.check_output(show)
    host.run_expect([0], break_it)
    run = play("site")
    assert run.rc == 0 and "TASK [bulwark.flask.nginx_site : Write the site]" in run.output, run.output
    assert bool(run.count("changed")[HOST]) == changes, run.output
    assert host.check_output(show) == before
    assert "TASK [bulwark.flask.nginx_site : Write the site]" not in play("site").output


def test_a_certificate_without_a_ca_needs_no_role_until_another_one_is_served(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    host = at(HOST, "shop").server.host
    own = ("-e", json.dumps({"step": {"acme_cert": {"source": "self_signed"}}}))
    for changes in (True, False):
        run = play("site", *own)
        assert run.rc == 0 and bool(run.count("changed")[HOST]) == changes, run.output
        assert ("TASK [bulwark.flask.nginx_site : Write the site]" in run.output) == changes
    served = host.check_output("readlink /etc/ssl/acme-cert/shop")
    host.run_expect([0], "ln -sfn /var/lib/acme-cert/placeholder/shop /etc/ssl/acme-cert/shop")
    assert play("site", *own).count("changed")[HOST] > 0
    assert host.check_output("readlink /etc/ssl/acme-cert/shop") == served
    for changes in (True, False):
        assert bool(play("site").count("changed")[HOST]) == changes


def test_a_removal_that_is_not_confirmed_lists_and_changes_nothing(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    run = play("remove", "-e", "app=hostile")
    assert run.rc != 0
    run.says("Nothing was removed", "/etc/nginx/sites-enabled/hostile.conf", "/srv/hostile", "account hostile-build", "/var/lib/hostile, renamed to")
    assert at(HOST, "hostile").server.host.file("/etc/nginx/sites-enabled/hostile.conf").exists


def test_an_application_that_is_not_in_the_inventory_is_named(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    server = at(HOST, "shop").server
    server.host.run_expect([0], "ln -s app_release-shop.json /var/lib/file_set/parts/app_release-other.json")
    try:
        play("status").says("other (not in flask_apps)")
        assert "Not in flask_apps, and still on this host: other." in play("site", "--check").words
    finally:
        server.host.run_expect([0], "rm /var/lib/file_set/parts/app_release-other.json")


# Its files with their contents, and the units that serve, renew and audit it.
WHOLE = ("find /etc -type f -name '*hostile*' -exec sha256sum {} + | sort; "
         "systemctl list-units --plain --no-legend '*hostile*' | grep -v '@.*@' | cut -d' ' -f1 | sort; readlink /srv/hostile/current")


def test_an_application_that_a_run_does_not_name_is_kept_whole(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    host = at(HOST, "shop").server.host
    apps = yaml.safe_load((ROOT / "molecule/failures/inventory/apps.yml").read_text(encoding="utf-8"))["all"]["children"]["web"]["vars"]["flask_apps"]
    other = STATE / "failures-one-application.json"
    other.write_text(json.dumps({"web": {"vars": {"flask_apps": {"shop": apps["shop"]}}}}), encoding="utf-8")
    before = host.check_output(WHOLE)
    assert before.count("hostile") > 15, before
    run = play("site", f"--inventory={other}")
    assert run.rc == 0 and "Not in flask_apps, and still on this host: hostile." in run.words, run.output
    assert host.check_output(WHOLE) == before
    outside = at(HOST, "shop").server.outside
    assert Outside(outside.address, outside.https_port, outside.http_port, str(STATE / "ca-eab.pem")).https("notes.debian13.example.test", "/").status == 200
    # The share of memory of an application depends on how many there are.
    play("site")
    assert play("site").count("changed")[HOST] == 0


def test_a_removed_application_leaves_its_data_and_nothing_else(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    server = at(HOST, "shop").server
    server.host.run_expect([0], "install -d -o hostile /var/lib/hostile && echo kept > /var/lib/hostile/data")
    run = play("remove", "-e", "app=hostile", "-e", "confirm=hostile")
    assert run.rc == 0, run.output
    [kept] = server.host.run(LEFT).stdout.split()
    assert kept.startswith("/var/lib/hostile.removed-")
    assert server.host.file(f"{kept}/data").content_string == "kept\n"
    assert (server.host.file(kept).user, server.host.file(kept).mode) == ("root", 0o700)
    assert server.host.run("systemctl --failed --no-legend '*hostile*'").stdout == ""
    outside = Outside(server.outside.address, server.outside.https_port, server.outside.http_port, str(STATE / "ca-eab.pem"))
    assert outside.https(at(HOST, "shop").app.domain, "/healthz").status == 200
    again = play("remove", "-e", "app=hostile", "-e", "confirm=hostile")
    assert (again.rc, again.count("changed")[HOST]) == (0, 0), again.output


def test_a_deploy_without_a_site_names_the_playbook_and_changes_nothing(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    run = play("deploy", "-e", "app=hostile")
    assert run.rc != 0 and run.count("changed")[HOST] == 0
    run.says("gunicorn-hostile@.service is missing: the role gunicorn_app writes it. For a new application run playbooks/site.yml instead")
    assert at(HOST, "shop").server.host.run("id hostile").rc != 0


def test_what_others_have_under_the_name_stops_the_run_before_its_first_change(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    host = at(HOST, "shop").server.host
    block = "server { listen 80; server_name notes.debian13.example.test; return 204; }"
    host.run_expect([0], "useradd --create-home --groups sudo hostile && mkdir -p /srv/hostile/current && "
                         "echo %s > /etc/nginx/sites-enabled/by-hand && echo x > /etc/cron.d/pip-audit-hostile", block)
    before = host.check_output("find /etc /srv -xdev -not -name '*-' -printf '%p %T@ %u\\n' | sort | sha256sum")
    run = play("site")
    assert run.rc != 0 and run.count("changed")[HOST] == 0
    run.says("the account hostile, number 1", "member of sudo", "/srv/hostile, where the releases would be", "/etc/cron.d/pip-audit-hostile",
             "notes.debian13.example.test is served by /etc/nginx/sites-enabled/by-hand", "is not taken over")
    assert host.check_output("find /etc /srv -xdev -not -name '*-' -printf '%p %T@ %u\\n' | sort | sha256sum") == before


def test_a_service_account_and_files_are_moved_aside_on_request(play: Callable[..., Run], at: Callable[..., Any]) -> None:
    host = at(HOST, "shop").server.host
    host.run_expect([0], "userdel --remove hostile; useradd --system hostile; rm /etc/nginx/sites-enabled/by-hand")
    run = play("adopt", "-e", "app=hostile")
    assert run.rc == 0, run.output
    assert host.run("ls -d /srv/hostile.before-*/current").rc == 0
    assert host.run("cat /var/backups/bulwark/hostile-*/etc/cron.d/pip-audit-hostile").stdout == "x\n"
    assert not host.file("/etc/cron.d/pip-audit-hostile").exists
    assert play("adopt", "-e", "app=hostile").count("changed")[HOST] == 0
