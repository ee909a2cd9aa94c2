"""Runs of the playbook of certificates, each with other settings, and a client that connects all the time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provided_files import FILES, PASSWORD
from testhosts import scenario

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent

STATE = scenario().folder
HOSTS = ("debian13", "debian12")
PROVIDED = {"source": "provided", "provided_chain": str(FILES / "shop.pem"), "provided_key": str(FILES / "shop.key")}
STRANGER = "/etc/nginx/conf.d/stranger.conf"


def renew(name: str) -> Callable[[Any], None]:
    """What an operator does with a new certificate: the same files, other contents."""
    def copy(hosts: Any) -> None:
        for kind in ("pem", "key"):
            shutil.copyfile(FILES / f"{name}.{kind}", FILES / f"shop.{kind}")
    return copy


def break_web_server(hosts: Any) -> None:
    """Somebody's file that nginx does not accept, and a new certificate."""
    renew("third")(hosts)
    for host in hosts:
        host.run("echo 'nonsense;' > %s", STRANGER)


def mend_web_server(hosts: Any) -> None:
    """The file is gone."""
    for host in hosts:
        host.run("rm %s", STRANGER)


@dataclass(frozen=True)
class Step:
    """One run of the playbook on both hosts: the settings of the certificate, what happened before, more names, the authority, the kind
    of an address that the site has too."""

    shop: dict[str, Any] = field(default_factory=dict)
    before: Callable[[Any], None] = lambda hosts: None
    more_names: tuple[str, ...] = ()
    directory_url: str = "https://pebble:14000/dir"
    address: str = ""


STEPS = {
    "issued": Step(),
    "provided": Step(PROVIDED, renew("first")),
    "provided again": Step(PROVIDED),
    "renewed": Step(PROVIDED, renew("second")),
    "useless": Step({**PROVIDED, "provided_key": str(FILES / "third.key"), "provided_chain": str(FILES / "old.pem")}),
    "web server refuses": Step(PROVIDED, break_web_server),
    "mended": Step(PROVIDED, mend_web_server),
    "self-signed": Step({"source": "self_signed"}),
    "self-signed again": Step({"source": "self_signed"}),
    "authority again": Step(),
}


@dataclass(frozen=True)
class Run:
    """What a run printed."""

    output: str

    def recap(self, what: str) -> dict[str, int]:
        """A count of each host."""
        found = {}
        for line in self.output.splitlines():
            if "ok=" in line and line.split(" ")[0] in HOSTS:
                found[line.split(" ")[0]] = int(line.partition(f"{what}=")[2].split(" ")[0])
        return found


def play(step: Step, *options: str, playbook: str = "playbooks/certificates.yml") -> Run:
    """Run the playbook."""
    settings = FILES / "step.json"
    certs = {"shop": step.shop, "more_names": step.more_names, "address": step.address}
    settings.write_text(json.dumps({"web": {"vars": {"acme_cert_directory_url": step.directory_url, "certs": certs}}}), encoding="utf-8")
    command = ["ansible-playbook", "-vvv", "--diff", "--vault-password-file", str(PASSWORD), "-i", "molecule/inventory",
               "-i", "molecule/certs/inventory", "-i", str(settings), playbook, *options]
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_LOG_PATH"}
    environment["ANSIBLE_CALLBACK_RESULT_FORMAT"] = "json"
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment, check=False)
    # The last one, for whoever asks why a test failed.
    (ROOT / "build" / "logs" / "certs-last.log").write_text(done.stdout, encoding="utf-8")
    return Run(done.stdout)


class Visitor(threading.Thread):
    """Asks for the site all the time, over a new connection each, and remembers what was presented and what was not."""

    def __init__(self, site: Any) -> None:
        super().__init__(daemon=True)
        self.site, self.presented, self.failures = site, [], []
        self.stopped = threading.Event()

    def run(self) -> None:
        """Until stopped."""
        while not self.stopped.wait(0.1):
            try:
                with self.site.server.outside.tls(self.site.domain, self.site.server.outside.context(verify=False)) as connection:
                    self.presented.append(connection.getpeercert(binary_form=True))
            except Exception as error:  # whatever it is, a visitor would have seen it
                self.failures.append(repr(error))
