#!/usr/bin/env python3
"""Break a host that serves an application, one fault at a time, and run the playbook: what is served meanwhile, and what comes back.

    make faults [FAULT=PATTERN]   the faults whose names match, or all; the table is build/faults.md too

Each fault is caused on the host under a steady load of requests. Then site.yml runs twice. The first run must repair the host, the
second must change nothing, and neither may cost a request of a site that is served. A fault of others, such as a broken file in
nginx's configuration, is not removed by the run: the run must name it, and everything is as before once it is gone.

The host is that of `testhosts.py up bench`, and is removed at the end.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import on_host
import testinfra
from host import inside
from host.outside import Outside
from host.playbooks import Playbooks

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "bench"
DOMAIN = "demo.localhost"
REQUESTS_PER_SECOND = 10
# How long the fault alone is watched.
WATCHED_SECONDS = 3
UNIT = "$(basename $(readlink /srv/demo/current))"


@dataclass(frozen=True)
class Fault:
    """A fault and the command that causes it. `undo` removes a fault of others, which the run must name with `message`."""

    name: str
    cause: str
    undo: str = ""
    message: str = ""


FAULTS = [
    # --- deleted
    Fault("current deleted", "rm /srv/demo/current"),
    Fault("live release deleted", "rm -r $(readlink -f /srv/demo/current/release)"),
    Fault("venv of the live release deleted", "rm -r $(readlink -f /srv/demo/current/release)/venv"),
    Fault("socket of the live instance deleted", "rm /srv/demo/current/gunicorn.sock"),
    Fault("certificates deleted", "rm -r /etc/ssl/acme-cert"),
    Fault("settings of certbot deleted", "rm -r /etc/acme-cert"),
    Fault("certbot deleted", "rm -r /opt/certbot"),
    Fault("account deleted", "userdel -f demo; true"),
    Fault("nginx purged", "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge nginx nginx-common >/dev/null 2>&1"),
    Fault("site deleted and nginx reloaded", "rm /etc/nginx/sites-enabled/demo.conf && systemctl reload nginx"),
    Fault("generated secrets deleted", "rm /etc/flask-secrets/demo.generated.env"),
    Fault("environment deleted", "rm /etc/flask-secrets/demo.env"),
    Fault("units deleted", "rm /etc/systemd/system/gunicorn-demo@.* && systemctl daemon-reload"),
    Fault("records deleted", "rm -r /var/lib/file_set"),
    Fault("data of the session store deleted", "rm -r /var/lib/session-stores"),
    # --- stopped
    Fault("nginx stopped and masked", "systemctl mask --now nginx"),
    Fault("application stopped", f"systemctl stop gunicorn-demo@{UNIT}.socket gunicorn-demo@{UNIT}.service"),
    Fault("cron and timers disabled", "systemctl disable --now cron logrotate.timer 'acme-cert-renew@demo.timer' alarm-channel-check.timer"),
    # --- edited
    Fault("site invalid", "echo 'broken' >> /etc/nginx/sites-enabled/demo.conf"),
    Fault("site valid and different", "sed -i 's/listen 443/listen 4443/' /etc/nginx/sites-enabled/demo.conf && systemctl reload nginx"),
    Fault("gunicorn.conf.py invalid", "echo '(' >> /etc/gunicorn/demo.conf.py"),
    Fault("unit edited", "sed -i 's/^User=.*/User=nobody/' /etc/systemd/system/gunicorn-demo@.service && systemctl daemon-reload"),
    Fault("environment readable by all", "chmod 0644 /etc/flask-secrets/demo.env"),
    Fault("environment of another owner", "chown nobody /etc/flask-secrets/demo.env"),
    Fault("a directory in place of a file", "rm /etc/nginx/sites-enabled/demo.conf && mkdir /etc/nginx/sites-enabled/demo.conf"),
    Fault("a dangling link in place of a file", "ln -sf /nowhere /etc/nginx/sites-enabled/demo.conf"),
    Fault("a link to another file in place of a file", "ln -sf /etc/hostname /etc/nginx/sites-enabled/demo.conf"),
    Fault("directories of another owner", "chown nobody /srv/demo /srv/demo/releases /var/lib/demo /var/log/nginx/demo /etc/acme-cert /etc/flask-secrets"),
    # --- of others
    Fault("broken file in conf.d", "echo 'broken;' > /etc/nginx/conf.d/zz-other.conf", "rm /etc/nginx/conf.d/zz-other.conf", "zz-other.conf"),
    Fault("foreign server block with the domain", f"echo 'server {{ listen 80; server_name {DOMAIN}; return 204; }}' > /etc/nginx/conf.d/zz-other.conf",
          "rm /etc/nginx/conf.d/zz-other.conf", "zz-other.conf"),
    Fault("port taken while nginx is stopped", "systemctl stop nginx && systemd-run -q --unit=other-web python3 -m http.server 443",
          "systemctl stop other-web", "443"),
    Fault("resolver unreachable", "rm -r /opt/certbot && cp /etc/resolv.conf /root/resolv && echo 'nameserver 192.0.2.1' > /etc/resolv.conf",
          "cat /root/resolv > /etc/resolv.conf", "certbot"),
    Fault("disk full", "rm -r /opt/certbot && mkdir /opt/certbot && mount -t tmpfs -o size=1m tmpfs /opt/certbot",
          "umount /opt/certbot", "disk is full"),
    Fault("inodes used up", "rm -r /opt/certbot && mkdir /opt/certbot && mount -t tmpfs -o nr_inodes=20 tmpfs /opt/certbot",
          "umount /opt/certbot", "disk is full"),
    Fault("file system read-only", "echo '# x' >> /etc/nginx/sites-enabled/demo.conf && mount --bind /etc/nginx /etc/nginx && "
          "mount -o remount,bind,ro /etc/nginx", "umount /etc/nginx", "Read-only file system"),
    Fault("file immutable", "apt-get -qq install e2fsprogs >/dev/null && echo '# x' >> /etc/nginx/sites-enabled/demo.conf && "
          "chattr +i /etc/nginx/sites-enabled/demo.conf", "chattr -i /etc/nginx/sites-enabled/demo.conf", "is it immutable?"),
    Fault("systemd executes itself anew", "rm /etc/nginx/sites-enabled/demo.conf /etc/systemd/system/gunicorn-demo@.service && "
          "systemd-run -q timeout 30 sh -c 'while :; do systemctl daemon-reexec; sleep 0.2; done'"),
    # --- packages
    Fault("apt locked for 20 seconds", "systemd-run -q flock --exclusive /var/lib/dpkg/lock-frontend sleep 20 && rm -r /opt/certbot"),
    Fault("dpkg interrupted", "sed -i '/^Package: logrotate$/,/^$/s/^Status: .*/Status: install ok unpacked/' /var/lib/dpkg/status"),
]


@dataclass
class Load:
    """Requests at a steady rate; each has its time and whether it was served."""

    site: Outside
    results: list[tuple[float, bool]] = field(default_factory=list)

    def _request(self) -> None:
        began = time.monotonic()
        try:
            served = self.site.https(DOMAIN, "/healthz").status == 200
        except OSError:
            served = False
        self.results.append((began, served))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests until the end of the block."""
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(1 / REQUESTS_PER_SECOND):
                self._request()

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def between(self, begin: float, end: float) -> list[bool]:
        """What became of the requests of an interval."""
        return [served for at, served in self.results if begin <= at < end]


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    fault: Fault
    meanwhile: str
    lost: int
    repaired: bool
    again: int
    left: dict[str, Any]
    message: str

    @property
    def good(self) -> bool:
        """Whether everything that is promised held."""
        return self.repaired and not self.again and not self.left and not self.lost and self.fault.message in self.message


class Faults:
    """The host, its site and its playbook."""

    def __init__(self) -> None:
        address = (FOLDER / "web.address").read_text(encoding="utf-8")
        self.host = testinfra.get_host(f"ssh://root@{address}", ssh_identity_file=str(FOLDER / "id_ed25519"),
                                       ssh_extra_args=f"-o UserKnownHostsFile={FOLDER}/known_hosts")
        self.site = Outside(address, 443, 80, str(FOLDER / "ca.pem"))
        self.playbooks = Playbooks([str(FOLDER / "inventory.yml")])

    def state(self) -> dict[str, Any]:
        """What the records promise, and whether it is so."""
        return dict(inside.ask(self.host, on_host.STATE))

    def different(self, before: dict[str, Any]) -> dict[str, Any]:
        """What is not as it was; the live instance may be another one."""
        now = self.state()
        return {f"{kind} {key}": now[kind].get(key) for kind, wanted in before.items() for key, value in wanted.items()
                if value != now[kind].get(key) and "/instances/" not in key}

    def of(self, fault: Fault, before: dict[str, Any]) -> Result:
        """Cause one fault and run the playbook twice."""
        load = Load(self.site)
        with load.running():
            begin = time.monotonic()
            self.host.check_output(fault.cause)
            time.sleep(WATCHED_SECONDS)
            run_began = time.monotonic()
            first = self.playbooks.run("site")
            repaired = first.rc == 0
            if fault.undo:
                self.host.check_output(fault.undo)
                repaired = self.playbooks.run("site").rc == 0
            time.sleep(1)
            end = time.monotonic()
            again = self.playbooks.run("site")
        alone, during = load.between(begin, run_began), load.between(run_began, end)
        # A site that the fault took down is back with its first response; what fails after it is lost.
        lost = during[during.index(True):].count(False) if True in during else len(during)
        errors = re.findall(r"^\s+msg: (?:\|-\n)?(.+(?:\n {6,}.+)*)", first.output.partition("fatal: ")[2], re.MULTILINE) if first.rc else []
        return Result(fault, f"{sum(alone)}/{len(alone)}", lost, repaired, sum(again.count("changed").values()), self.different(before),
                      " ".join(" ".join(errors[:1]).split()))


def table(results: list[Result]) -> str:
    """The results as Markdown."""
    lines = ["| fault | served before the run | requests lost in runs | repaired | changed by the next run | left | message of the run |",
             "|---|---|---|---|---|---|---|"]
    lines += [f"| {result.fault.name}{'' if result.good else ' **(missed)**'} | {result.meanwhile} | {result.lost} | {'yes' if result.repaired else 'no'} | "
              f"{result.again} | {', '.join(result.left) or '-'} | {result.message[:200].replace('|', '/') or '-'} |" for result in results]
    return "\n".join(lines) + "\n"


def tool(*command: str) -> None:
    """Run a tool of this project."""
    subprocess.run([sys.executable, str(ROOT / "tools" / command[0]), *command[1:]], check=True)


def run(wanted: str) -> list[Result]:
    """Cause each of these faults on the host."""
    faults, results = Faults(), []
    # The first run of a host; the second one has nothing to change.
    for _unused in range(2):
        faults.playbooks.good("site")
    before = faults.state()
    for fault in FAULTS:
        if re.search(wanted, fault.name):
            faults.playbooks.printed.clear()
            results.append(faults.of(fault, before))
            print(table(results[-1:]).splitlines()[-1], flush=True)
            # Whoever ends a run of an hour early has the rows so far.
            (ROOT / "build" / "faults.md").write_text(table(results), encoding="utf-8")
            with (ROOT / "build" / "logs" / "faults.log").open("a", encoding="utf-8") as log:
                log.write(f"==== {fault.name}\n{results[-1].left}\n" + "\n".join(faults.playbooks.printed))
    return results


def main(wanted: str = "") -> None:
    """Bring the host up, cause the faults, print what was missed."""
    (ROOT / "build" / "logs").mkdir(parents=True, exist_ok=True)
    (ROOT / "build" / "logs" / "faults.log").unlink(missing_ok=True)
    tool("testhosts.py", "up", "bench")
    try:
        tool("demo.py", "inventory", "bench")
        results = run(wanted)
    finally:
        tool("testhosts.py", "down", "bench")
    missed = [result.fault.name for result in results if not result.good]
    print(f"{len(results)} faults; missed: {', '.join(missed) or 'none'}. The table: build/faults.md")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main(*sys.argv[1:])
