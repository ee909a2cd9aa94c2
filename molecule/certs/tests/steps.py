"""Runs of the playbook of certificates, each with other settings, and a client that connects all the time."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from host.outside import Outside
from host.playbooks import Playbooks, Run
from provided_files import FILES, PASSWORD
from testhosts import scenario

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent

STATE = scenario().folder
# Both, or the one of HOST=….
HOSTS = (os.environ["BULWARK_ONLY"],) if "BULWARK_ONLY" in os.environ else ("debian13", "debian12")
PROVIDED = {"source": "provided", "provided_chain": str(FILES / "shop.pem"), "provided_key": str(FILES / "shop.key")}
OTHER_SITE = "/etc/nginx/conf.d/other-site.conf"


def renew(name: str) -> Callable[[Any], None]:
    """Replace the provided files by a new certificate."""
    def copy(hosts: Any) -> None:
        for kind in ("pem", "key"):
            shutil.copyfile(FILES / f"{name}.{kind}", FILES / f"shop.{kind}")
    return copy


def break_web_server(hosts: Any) -> None:
    """A file of another program that nginx does not accept, and a new certificate."""
    renew("third")(hosts)
    for host in hosts:
        host.run("echo 'nonsense;' > %s", OTHER_SITE)


def mend_web_server(hosts: Any) -> None:
    """The file is gone."""
    for host in hosts:
        host.run("rm %s", OTHER_SITE)


@dataclass(frozen=True)
class Step:
    """One run of the playbook on both hosts: the settings of the certificate, what happened before, more names, the CA, the kind
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
    "CA again": Step(),
}


def play(step: Step, *options: str, playbook: str = "playbooks/certificates.yml") -> Run:
    """Run the playbook on both hosts."""
    settings = FILES / "step.json"
    certs = {"shop": step.shop, "more_names": step.more_names, "address": step.address}
    settings.write_text(json.dumps({"web": {"vars": {"acme_cert_directory_url": step.directory_url, "certs": certs}}}), encoding="utf-8")
    playbooks = Playbooks.verbose([str(ROOT / "molecule/inventory"), str(ROOT / "molecule/certs/inventory"), str(settings)])
    run = playbooks.run(playbook, f"--limit={','.join(HOSTS)}", "--vault-password-file", str(PASSWORD), *options)
    # The last output, for the analysis of a failed test.
    (ROOT / "build" / "logs" / "certs-last.log").write_text(run.output, encoding="utf-8")
    return run


class SteadyClient(threading.Thread):
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
            except Exception as error:  # any error would affect a client
                self.failures.append(repr(error))


SITES = "molecule/certs/sites.yml"


def settled(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What is seen once it is as wanted: a reload lets the old workers finish what they have begun."""
    deadline = time.monotonic() + 20
    while not wanted(found := look()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return found


RENEW = r'''
if GIVEN["force"]:
    open("/run/acme-cert-force-shop", "w").close()
done = subprocess.run(["systemctl", "start", "acme-cert-renew@shop.service"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
print(json.dumps({"rc": done.returncode, "log": output("journalctl", "--unit=acme-cert-renew@shop.service", "--output=cat", "--no-pager").decode(),
                  "advice": re.findall(r"^ari_retry_after = (.*)$", open("/etc/acme-cert/renewal/shop.conf").read(), re.M)}))
'''


def presented(site: Any) -> x509.Certificate:
    """The certificate that a client gets."""
    with site.server.outside.tls(site.domain, site.server.outside.context(verify=False)) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))


def trusted(site: Any, root: str) -> bool:
    """Whether a client that trusts only `root` can connect to every name."""
    known = site.server.outside
    outside = Outside(known.address, known.https_port, known.http_port, root)
    for domain in site.app.domains:
        with outside.tls(domain):
            pass
    return True
