"""Each scanner, run once per host, and its output as data."""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from auditor import Auditor
from host.plugin import Server

CERTIFICATE_ROOT = "/project/build/molecule/scanners/ca.pem"
TRUSTED = "/etc/ssl/trusted.pem"
# Without those that ask a server of its authors what came there, or look for Java, WordPress or LDAP.
WAPITI = "backup,crlf,csrf,exec,file,htaccess,permanentxss,redirect,sql,upload,xss"
# slowhttptest sends no server name, and without one a host of ours ends the handshake: this adds it.
NAMING = """load_module modules/ngx_stream_module.so;
pid %(work)s/pid;
error_log %(work)s/error.log;
worker_processes 1;
worker_rlimit_nofile 12000;
events { worker_connections 11000; }
stream {
    server {
        listen 127.0.0.1:8443 backlog=4096;
        proxy_pass %(address)s:443;
        proxy_ssl on;
        proxy_ssl_server_name on;
        proxy_ssl_name %(domain)s;
    }
}
"""


class Scanners:
    """The scanners, pointed at one host."""

    def __init__(self, auditor: Auditor, server: Server) -> None:
        self.auditor, self.server = auditor, server
        self.address = server.outside.address
        self.domains = {app.name: app.domain for app in server.target.apps}

    def scan(self, script: str, *allowed: int, seconds: int = 600) -> str:
        """The output of a scanner, which must have finished."""
        done = self.auditor.run(script, seconds=seconds)
        assert done.returncode in (0, *allowed), f"{script}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def on_host(self, command: str) -> str:
        """The output of a command on the host."""
        done = self.server.host.run(command)
        assert done.rc == 0, done.stderr
        return done.stdout

    @functools.cached_property
    def testssl(self) -> list[dict[str, str]]:
        """testssl.sh: every finding."""
        out = f"/tmp/testssl-{self.server.name}.json"
        self.scan(f"rm -f {out}; testssl --quiet --color 0 --warnings off --add-ca {CERTIFICATE_ROOT} --ip {self.address} --jsonfile {out} "
                  f"https://{self.domains['shop']}", *range(1, 60), seconds=900)
        return json.loads(self.scan(f"cat {out}"))

    def finding(self, name: str) -> str:
        """One of testssl.sh's findings."""
        return next(found["finding"] for found in self.testssl if found["id"] == name)

    def sslyze(self, app: str, profile: str) -> str:
        """The result of sslyze against a profile of Mozilla."""
        text = self.scan(f"/tools/scanners/bin/sslyze --certinfo --certinfo_ca_file {CERTIFICATE_ROOT} "
                         f"--mozilla_config={profile} '{self.domains[app]}:443{{{self.address}}}'", 1)
        return text[text.index("COMPLIANCE"):]

    def observatory(self, app: str) -> dict[str, Any]:
        """MDN's HTTP Observatory."""
        scan = "/tools/npm/node_modules/@mdn/mdn-http-observatory/src/scan.js"
        return json.loads(self.scan(f"cd /tools/npm; NODE_EXTRA_CA_CERTS=/etc/ssl/trusted.pem node {scan} {self.domains[app]}", 1))

    def exposure(self, unit: str) -> float:
        """systemd's own figure for a unit."""
        out = self.on_host(f"systemd-analyze security --no-pager {shlex.quote(unit)}")
        found = re.search(r"Overall exposure level for .*?: ([0-9.]+)", out)
        assert found, out[-500:]
        return float(found.group(1))

    def instance(self, app: str) -> str:
        """The unit that serves an application."""
        return f"gunicorn-{app}@{self.on_host(f'basename $(readlink -f /srv/{app}/current)').strip()}.service"

    @functools.cached_property
    def lynis(self) -> dict[str, list[str]]:
        """lynis, run from a copy that is gone afterwards: index, and what it would like."""
        copy = self.auditor.run("tar -C / -czf - usr/sbin/lynis usr/share/lynis etc/lynis | base64 -w0").stdout
        self.server.host.run("rm -rf /root/lynis; mkdir /root/lynis")
        for start in range(0, len(copy), 100_000):
            self.on_host(f"echo -n {copy[start:start + 100_000]} >> /root/lynis/copy")
        # Debian's places, for as long as it runs.
        self.on_host("cd /root/lynis && base64 -d copy | tar -xz && ln -sfn /root/lynis/usr/share/lynis /usr/share/lynis && "
                     "ln -sfn /root/lynis/etc/lynis /etc/lynis")
        try:
            self.on_host("sh /root/lynis/usr/sbin/lynis audit system --quick --no-colors --quiet --report-file /root/lynis/report "
                         "--logfile /root/lynis/log < /dev/null; test -s /root/lynis/report")
            report = self.on_host("cat /root/lynis/report")
        finally:
            self.on_host("rm -rf /root/lynis /usr/share/lynis /etc/lynis")
        found: dict[str, list[str]] = {}
        for line in report.splitlines():
            key, _, value = line.partition("=")
            found.setdefault(key.removesuffix("[]"), []).append(value)
        return found

    @functools.cached_property
    def ssh_audit(self) -> dict[str, Any]:
        """ssh-audit, its test of the rate of connections too."""
        return json.loads(self.scan(f"/tools/scanners/bin/ssh-audit -j {self.address}", 1, 2, 3))

    @functools.cached_property
    def gixy(self) -> list[dict[str, Any]]:
        """gixy, over the whole configuration nginx has loaded."""
        dump = self.on_host("nginx -T 2>/dev/null")
        done = self.auditor.run("/tools/scanners/bin/gixy -f json -", dump.encode())
        assert done.stdout.strip().startswith("["), done.stdout + done.stderr
        return json.loads(done.stdout)

    @functools.cached_property
    def wapiti(self) -> dict[str, Any]:
        """wapiti, over one page of each kind: its report, and how often it met which status."""
        url, out = f"https://{self.domains['shop']}", f"/tmp/wapiti-{self.server.name}"
        same = " ".join(f"-x '{url}/{pages}*'" for pages in ("products/2", "products/3", "cart/2", "cart/3"))
        done = self.auditor.run(
            f"rm -rf {out}; mkdir {out}; HOME={out} SSL_CERT_FILE={TRUSTED} /tools/wapiti/bin/python /project/molecule/scanners/tools/wapiti_slowly.py "
            f"--url {url}/ --verify-ssl 1 --no-bugreport --store-session {out} -m {WAPITI} {same} --max-scan-time 60 --max-attack-time 30 "
            f"--format json --output {out}/report")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return {**json.loads(self.scan(f"cat {out}/report")), "statuses": json.loads(done.stderr.splitlines()[-1])}

    @functools.cached_property
    def open_ports(self) -> list[int]:
        """nmap, every TCP port."""
        out = self.scan(f"nmap -n -Pn -T4 -p- --max-retries 2 -oG - {self.address}")
        return sorted(int(port) for port in re.findall(r"(\d+)/open/tcp", out))

    @contextlib.contextmanager
    def slow_clients(self, mode: str, app: str) -> Iterator[Callable[[], None]]:
        """4,000 slow clients while the block runs. It gets a function that looks how many the host holds."""
        work, domain = f"/tmp/slow{mode}-{self.server.name}", self.domains[app]
        settings = NAMING % {"work": work, "address": self.address, "domain": domain}
        peak = 0

        def look() -> None:
            nonlocal peak
            peak = max(peak, len(self.on_host(f"ss -Htn state established sport = :443 dst {self.auditor.address}").splitlines()))

        self.scan(f"rm -rf {work}; mkdir {work}; cd {work}; printf %s {shlex.quote(settings)} > nginx.conf; nginx -c {work}/nginx.conf; "
                  f"nohup stdbuf -oL slowhttptest -{mode} -c 4000 -r 400 -i 5 -l 60 -x 24 -p 3 -d 127.0.0.1:8443 -u http://{domain}/ > log 2>&1 & "
                  f"echo $! > {work}/client")
        try:
            yield look
        finally:
            self.scan(f"cd {work}; kill $(cat client); kill $(cat pid)")
        log = re.sub(r"\x1b\[[0-9;]*m", "", self.scan(f"cat {work}/log"))
        opened = max((sum(map(int, found)) for found in re.findall(r"connected:\s+(\d+)\s+error:\s+\d+\s+closed:\s+(\d+)", log)), default=0)
        # Without its connections, the test proves nothing.
        assert opened == 4000, log[-600:]
        self.slow_log = f"{opened} opened, at most {peak} held"

    def curl(self, app: str, arguments: str) -> tuple[int, str]:
        """One request: its status in the end, and what came."""
        path, _, options = arguments.partition(" ")
        out = self.scan(f"curl --silent --show-error --max-time 90 --cacert {TRUSTED} --write-out '\\n%{{http_code}}' "
                        f"{options} 'https://{self.domains[app]}{path}'")
        body, _, status = out.rpartition("\n")
        return int(status), body

    def many(self, app: str, path: str, count: int) -> dict[str, int]:
        """Many requests at once, as a page's assets: how many by version of HTTP and status."""
        out = self.scan(f"curl --silent --cacert {TRUSTED} --http2 --parallel --parallel-max 100 --output /dev/null "
                        f"--write-out '%{{http_version}} %{{http_code}}\\n' 'https://{self.domains[app]}{path}?v=[1-{count}]'")
        return dict(collections.Counter(out.split("\n")[:-1]))

    def browse(self, app: str) -> dict[str, Any]:
        """The completed steps of a browser, and the messages of its console."""
        return json.loads(self.scan(f"/tools/browser/bin/python /project/molecule/scanners/tools/browse.py https://{self.domains[app]}", seconds=240))
