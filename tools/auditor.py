#!/usr/bin/env python3
"""A container with other projects' scanners, on the network of the test hosts. Nothing is installed on this machine.

    auditor.py up      make it, or start what is there; needs the hosts of the scenario that MOLECULE_SCENARIO_NAME names, and
                       lends them what a container lacks beside a machine
    auditor.py browser the same with a browser and curl alone; lends nothing
    auditor.py down    remove it

Debian's tools are in its image; those of PyPI and npm, by the hashes of molecule/scanners/tools, are below build/auditor,
so that a second run finds them there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence

from testhosts import NEWEST, ROOT, SUDO, extra_certificates, image, podman, scenario

BROWSER = "python3,python3-venv,ca-certificates,curl,chromium,chromium-driver"
PACKAGES = ("systemd,python3,python3-venv,ca-certificates,curl,openssl,procps,iproute2,bsdextrautils,bind9-dnsutils,"
            "chromium,chromium-driver,libnginx-mod-stream,lynis,nginx-light,nmap,nodejs,npm,slowhttptest,testssl.sh")
TOOLS = ROOT / "build" / "auditor"
LOCKS = "/project/molecule/scanners/tools"
VENVS = ("scanners", "browser", "wapiti")
# Lists that its installation would download; neither contains a name of the test network.
OBSERVATORY = "/tools/npm/node_modules/@mdn/mdn-http-observatory/conf"
# A client needs an open file for each connection.
LIMITS = ["--ulimit=nofile=12288:12288", "--ulimit=nproc=4096:4096"]
TRUST = "export PIP_CERT=/etc/ssl/trusted.pem NODE_EXTRA_CA_CERTS=/etc/ssl/trusted.pem SSL_CERT_FILE=/etc/ssl/trusted.pem; "
PASSED_ON = re.compile(r"PIP_(EXTRA_)?INDEX_URL|(NPM_CONFIG|npm_config)_registry|\w*(_proxy|_PROXY)", re.IGNORECASE)


class Auditor:
    """The container, on the network of the test hosts."""

    def __init__(self) -> None:
        self.hosts = scenario()
        self.name = self.hosts.container("auditor")

    @property
    def address(self) -> str:
        """Its address on the network of the hosts."""
        return self.hosts.address("auditor")

    def run(self, script: str, stdin: bytes | None = None, seconds: int = 600) -> subprocess.CompletedProcess[str]:
        """Run a script in it; returns its output."""
        given = [f"--env={name}" for name in os.environ if PASSED_ON.fullmatch(name)]
        command = [*SUDO, "podman", "exec", "--interactive", *given, self.name, "timeout", str(seconds), "bash", "-c", script]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(errors="replace"),
                                           done.stderr.decode(errors="replace"))

    def must(self, script: str, stdin: bytes | None = None) -> str:
        """Run a script; a failure is an error."""
        done = self.run(script, stdin)
        if done.returncode:
            sys.exit(f"`{script[:100]} …` failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def start(self, packages: str, venvs: Sequence[str]) -> None:
        """Make the container where it is missing, and its environments of Python."""
        TOOLS.mkdir(parents=True, exist_ok=True)
        tag = image(NEWEST, packages)
        state = podman("inspect", "--format", "{{.State.Running}} {{.Config.Image}}", self.name, check=False)
        if not (state.startswith("true ") and tag in state):
            podman("rm", "--force", "--ignore", self.name)
            podman("run", "--detach", "--name", self.name, "--hostname", "auditor", "--network", self.hosts.network, "--privileged",
                   *LIMITS, f"--volume={TOOLS}:/tools", f"--volume={ROOT}:/project:ro", tag, "sleep", "infinity")
        trusted = extra_certificates() + (self.hosts.folder / "ca.pem").read_text(encoding="utf-8")
        self.must("cat > /etc/ssl/trusted.pem && cp /etc/ssl/trusted.pem /etc/ssl/certs/ca-certificates.crt", trusted.encode())
        for venv in venvs:
            lock = f"{LOCKS}/{venv}.txt"
            self.must(f"{TRUST} cd /tools; cmp -s {lock} {venv}/lock || {{ rm -rf {venv}; python3 -m venv {venv}; "
                      f"{venv}/bin/pip --quiet install --require-hashes -r {lock} && cp {lock} {venv}/lock; }}")

    def browser(self) -> None:
        """Make what a browser needs."""
        self.start(BROWSER, ["browser"])

    def up(self) -> None:
        """Make what is missing."""
        self.hosts.lend()
        self.start(PACKAGES, VENVS)
        lock = f"{LOCKS}/package-lock.json"
        stubs = " && ".join(f"echo {shlex.quote(text)} > {OBSERVATORY}/{name}" for name, text in
                            (("hsts-preload.json", "{}"), ("tld-list.json", '["test"]')))
        self.must(f"{TRUST} mkdir -p /tools/npm; cd /tools/npm; cmp -s {lock} lock || {{ cp {lock} {lock.replace('-lock', '')} . && "
                  f"npm ci --ignore-scripts --no-audit --no-fund --silent && {stubs} && cp {lock} lock; }}")

    def down(self) -> None:
        """Remove the container; downloads stay."""
        podman("rm", "--force", "--ignore", "--time", "2", self.name)


if __name__ == "__main__":
    if sys.argv[1:] not in (["up"], ["browser"], ["down"]):
        sys.exit(__doc__)
    getattr(Auditor(), sys.argv[1])()
