"""The playbooks run on the host itself, without a connection: everything but a change of SSH needs no more than elsewhere."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

INVENTORY = """
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: /usr/bin/python3
  vars:
    acme_cert_email: ops@example.test
    acme_cert_directory_url: https://pebble:14000/dir
    acme_cert_ca_bundle: /usr/local/share/acme-listener.pem
    host_access_confirm_seconds: 40
    flask_apps:
      notes:
        domains: [debian13.example.test]
        source: {path: /root/controller/project/examples/minimal}
        wsgi: "minimal:app"
"""
HOST, SITE = ("ANSIBLE_NOCOLOR=1 ansible-playbook -i local.yml bulwark.flask." + name for name in ("host", "site"))
SSH_STATE = "ls /etc/ssh/sshd_config.d; sshd -T | sort; nft list tables; systemctl is-active fail2ban"


@pytest.fixture(scope="module")
def here(controller: Any, servers: dict[str, Any]) -> Any:
    """Runs a command on the controller, which has an inventory of itself."""
    servers["debian13"].host.run("printf %s > /root/controller/local.yml", INVENTORY)
    return controller


@pytest.fixture
def login(servers: dict[str, Any]) -> Iterator[Any]:
    """Logs in again and again over new connections once it is started."""
    target, over = servers["debian13"].target, threading.Event()
    words = ["ssh", "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "BatchMode=yes", *target.ssh_args.split(), "-i", target.key,
             f"{target.user}@{target.address}", "sleep 3"]

    def visit() -> None:
        while not over.wait(2):
            subprocess.run(words, check=False, capture_output=True, timeout=60)
    thread = threading.Thread(target=visit)
    yield thread
    over.set()
    thread.join()


def unwrapped(done: Any) -> str:
    """What a run printed, without line breaks."""
    return " ".join((done.stdout + done.stderr).split())


def test_a_change_of_ssh_is_refused_and_both_ways_out_are_named(here: Any) -> None:
    before = here(SSH_STATE).stdout
    done = here(HOST)
    assert done.rc != 0
    assert "Nothing was changed: this run did not come over SSH" in unwrapped(done) and "host_access_local_run: leave" in unwrapped(done)
    # All else is done.
    assert here("test -e /etc/sysctl.d/60-host-baseline.conf").rc == 0
    assert here(SSH_STATE).stdout == before


def test_ssh_is_left_out_by_a_variable(here: Any) -> None:
    before = here(SSH_STATE).stdout
    for options in ("--check", ""):
        done = here(f"{HOST} -e host_access_local_run=leave {options}")
        assert done.rc == 0, done.stdout[-3000:]
        assert "SSH and the firewall are left as they are" in unwrapped(done)
    assert here(SSH_STATE).stdout == before
    assert re.search(r"localhost .*changed=0 .*failed=0", done.stdout), done.stdout[-500:]


def test_without_a_login_the_old_state_is_back(here: Any) -> None:
    before = here(SSH_STATE).stdout
    done = here(f"{HOST} --tags host_access -e host_access_local_run=wait -e host_access_confirm_seconds=20")
    assert done.rc != 0 and "was not confirmed by a login within 12 seconds. The old state is back." in unwrapped(done), done.stdout[-2000:]
    assert here(SSH_STATE).stdout == before


def test_a_login_confirms_the_change(here: Any, login: threading.Thread) -> None:
    login.start()
    done = here(f"{HOST} --tags host_access -e host_access_local_run=wait")
    assert done.rc == 0, done.stdout[-3000:]
    assert here("systemctl is-active host-access-firewall").stdout.strip() == "active"
    # Nothing is left to change, so no login is needed.
    done = here(HOST)
    assert done.rc == 0 and re.search(r"localhost .*changed=0 .*failed=0", done.stdout), done.stdout[-2000:]


def test_the_site_is_served(here: Any, servers: dict[str, Any]) -> None:
    done = here(SITE)
    assert done.rc == 0, done.stdout[-3000:]
    assert servers["debian13"].outside.https("debian13.example.test", "/healthz").status == 200
    done = here(SITE)
    assert done.rc == 0 and re.search(r"localhost .*changed=0 .*failed=0", done.stdout), done.stdout[-2000:]
