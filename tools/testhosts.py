#!/usr/bin/env python3
"""Plain Debian hosts and an ACME server in containers, for the demo and the tests.

    testhosts.py up demo|bench|serving|SCENARIO      make what is missing, start what is stopped
    testhosts.py down demo|bench|serving|SCENARIO    remove all of it
    testhosts.py down molecule                       the same for every scenario

State is below build/demo/, build/bench/, build/serving/ and build/molecule/<scenario>/: the SSH key, known_hosts,
each host's address, the CA's root certificate (ca.pem) and the certificate of its own listener. Every set
has containers and a network of its own. BULWARK_PREFIX begins their names, for two checkouts on one
machine. Needs podman, mmdebstrap and root (or sudo).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".ansible/collections"))

from ansible_collections.bulwark.flask.plugins.module_utils.distributions import DEBIAN

NEWEST = list(DEBIAN.values())[-1]
# Prefix of every container and network, so that two checkouts can share a machine.
PREFIX = os.environ.get("BULWARK_PREFIX", "bulwark")
SUDO = [] if os.geteuid() == 0 else ["sudo"]
PLAIN = "systemd,systemd-sysv,dbus,python3,ca-certificates,sudo,iproute2,procps,openssh-server"
# An init system needs a whole system's rights; the limits let it start under a restricted root.
RIGHTS = ["--systemd=always", "--privileged", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
# On a machine with the legacy hierarchy, systemd in a container applies limits of memory, tasks and CPU only where it sees the
# whole hierarchy of a controller: it looks for its own part by the name that the kernel states.
CONTROLLERS = [f"--volume={path}:{path}" for path in map("/sys/fs/cgroup/{}".format, ("blkio", "cpu", "cpuacct", "memory", "pids")) if os.path.isdir(path)]
# Kernel settings that do not affect other programs of this machine and can be restored.
LENT = ["dev/tty/ldisc_autoload", "fs/protected_fifos", "kernel/core_uses_pid", "kernel/ctrl-alt-del", "kernel/kptr_restrict"]
PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)
PEBBLE = """{"pebble": {"listenAddress": "0.0.0.0:%(port)d", "managementListenAddress": "0.0.0.0:%(management)d",
 "certificate": "/etc/pebble/cert.pem", "privateKey": "/etc/pebble/key.pem", "httpPort": 80, "tlsPort": 443,
 "certificateValidityPeriod": 7776000, "ocspResponderURL": "", "externalAccountBindingRequired": %(bound)s, "externalAccountMACKeys": {"kid-1": "$key"}}}
"""
# The second CA requires external account binding.
ACME_SERVERS = {"ca.pem": {"port": 14000, "management": 15000, "bound": "false"},
                "ca-eab.pem": {"port": 14001, "management": 15001, "bound": "true"}}


@dataclass(frozen=True)
class Host:
    """A container that acts as a host."""

    name: str
    release: str
    aliases: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)


def demo_hosts() -> list[Host]:
    """One web host, its ports published on this machine only."""
    ports = ["127.0.0.1:8443:443", "127.0.0.1:8080:80"]
    return [Host("web", os.environ.get("DISTRO", NEWEST), ["demo.localhost"], ports)]


def bench_hosts() -> list[Host]:
    """One web host for measurements, and one for the playbook of a tutorial."""
    release = os.environ.get("DISTRO", NEWEST)
    return [Host("web", release, ["demo.localhost", "second.localhost"]), Host("tutorial", release, ["tutorial.localhost"])]


def serving_hosts() -> list[Host]:
    """What is measured while it serves, and the stack it is compared with."""
    return [Host("ours", NEWEST, ["ours.test"]), Host("common", NEWEST, ["common.test"])]


def scenario_hosts() -> list[Host]:
    """A host of every supported release, the newest first."""
    def names(host: str) -> list[str]:
        return [f"{name}{host}.example.test" for name in ("", "www.", "notes.", "longest.", "hostile.", "httpbin.", "money.")]
    return [Host(f"debian{version}", release, names(f"debian{version}")) for version, release in reversed(DEBIAN.items())]


# The roles whose README has an example playbook, each with a host of its own.
README_ROLES = ["acme_cert", "alarm_channel", "app_logging", "app_release", "app_secrets", "gunicorn_app", "host_baseline", "nginx_server", "nginx_site",
                "pip_audit", "session_store"]


def readme_hosts() -> list[Host]:
    """A host for each role."""
    names = [role.replace("_", "-") for role in README_ROLES]
    return [Host(name, NEWEST, [f"{name}.example.test"]) for name in names]


SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
SETS = {**{name: scenario_hosts for name in (*SCENARIOS, "images")}, "demo": demo_hosts, "bench": bench_hosts,
        "serving": serving_hosts, "readme": readme_hosts, "public": lambda: scenario_hosts()[:1]}
# What a plain host lacks is proved by these hosts, which start from Debian's packages alone.
BOTH = [f"debian{version}" for version in DEBIAN]
START_PLAIN = {"default": ["debian13"], "removal": BOTH, "readme": [host.name for host in readme_hosts()], "images": BOTH, "demo": ["web"],
               "bench": ["web", "tutorial"]}
# Decides how the image of the others is made.
PROVISION = [ROOT / path for path in ("molecule/shared/provision.yml", "plugins/module_utils/host_part/venvs.py", "roles/acme_cert/files/certbot.txt",
                                      "roles/app_release/files/uv.txt", "roles/app_release/files/bandit.txt", "roles/pip_audit/files/pip-audit.txt")]


def run(*command: str, stdin: bytes | None = None, check: bool = True, environment: dict[str, str] | None = None) -> str:
    """Run a command and return its output; a failure exits with its output."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, env={**os.environ, **(environment or {})})
    if check and done.returncode:
        sys.exit(f"`{' '.join(command[:6])} …` failed:\n{(done.stdout[-3000:] + done.stderr[-3000:]).decode(errors='replace')}")
    return done.stdout.decode(errors="replace").strip()


def podman(*arguments: str, stdin: bytes | None = None, check: bool = True) -> str:
    """Run podman as root."""
    return run(*SUDO, "podman", *arguments, stdin=stdin, check=check)


def remove(container: str) -> None:
    """Remove a container. podman fails when it ends by itself just before podman ends it; the second time it is gone."""
    arguments = ["rm", "--force", "--ignore", "--time", "2", container]
    podman(*arguments, check=False)
    podman(*arguments)


def extra_certificates() -> str:
    """The CA certificates that this machine trusts, for hosts that reach the registries through it."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if os.environ.get(name):
            return Path(os.environ[name]).read_text(encoding="utf-8")
    return Path("/etc/ssl/certs/ca-certificates.crt").read_text(encoding="utf-8")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of a set."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def image(release: str, packages: str) -> str:
    """A base image from Debian's own packages; made once for each list of packages."""
    tag = f"localhost/bulwark-{release}:{hashlib.sha256(packages.encode()).hexdigest()[:12]}"
    with locked("images"):
        make_image(tag, release, packages)
    return tag


def make_image(tag: str, release: str, packages: str) -> None:
    """Create it if it does not exist."""
    if subprocess.run([*SUDO, "podman", "image", "exists", tag], check=False).returncode:
        print(f"Building {tag} …", flush=True)
        archive = ROOT / "build" / f"{release}.tar"
        archive.parent.mkdir(exist_ok=True)
        run(*SUDO, "mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", release, str(archive))
        podman("import", "--quiet", str(archive), tag)
        run(*SUDO, "rm", str(archive))


def provisioned(plain: dict[str, str]) -> dict[str, str]:
    """The image of each release with the tools of the roles, made from the plain ones by the modules that install them on a host."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in PROVISION)).hexdigest()[:12]
    tags = {release: f"{tag}-{digest}" for release, tag in plain.items()}
    with locked("provisioned"):
        if all(subprocess.run([*SUDO, "podman", "image", "exists", tag], check=False).returncode == 0 for tag in tags.values()):
            return tags
        print(f"Building {', '.join(tags.values())} …", flush=True)
        hosts = Set("images")
        hosts.down()
        hosts.hosts = [host for host in hosts.hosts if host.release in tags]
        hosts.up()
        run("ansible-playbook", f"--inventory={ROOT}/molecule/inventory", f"--limit={','.join(host.name for host in hosts.hosts)}",
            f"{ROOT}/molecule/shared/provision.yml",
            environment={"MOLECULE_SCENARIO_NAME": "images", "ANSIBLE_CONFIG": f"{ROOT}/ansible.cfg",
                         "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/.ansible/collections", "ANSIBLE_VERBOSITY": "0"})
        for host in hosts.hosts:
            if host.release in tags:
                podman("stop", hosts.container(host.name))
                podman("commit", "--quiet", hosts.container(host.name), tags[host.release])
        hosts.down()
        # Those of earlier locks go; one that a container uses stays.
        tags_of_images = podman("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=localhost/bulwark-*:*-*").split()
        for tag in tags_of_images:
            if not tag.endswith(f"-{digest}"):
                podman("rmi", tag, check=False)
    return tags


class Set:
    """The hosts of one purpose, on a network of their own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hosts = SETS[name]()
        self.folder = ROOT / "build" / ("" if name in ("demo", "bench", "serving") else "molecule") / name
        self.network = f"{PREFIX}-{name}"

    def container(self, host: str) -> str:
        return f"{PREFIX}-{self.name}-{host}"

    def start(self, host: Host, tag: str, *arguments: str) -> bool:
        """Start a container; returns whether it is a new one."""
        name = self.container(host.name)
        state = podman("inspect", "--format", "{{.State.Running}} {{.Config.Image}}", name, check=False)
        if state.startswith("true ") and tag in state:
            return False
        remove(name)
        podman("run", "--detach", "--name", name, "--hostname", host.name, "--network", self.network,
               *[f"--network-alias={alias}" for alias in [host.name, *host.aliases]],
               *[f"--publish={port}" for port in host.ports], *RIGHTS, *CONTROLLERS, tag, *arguments)
        return True

    def address(self, host: str) -> str:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return podman("inspect", "--format", form, self.container(host))

    def execute(self, host: str, script: str, stdin: bytes | None = None) -> str:
        return podman("exec", "--interactive", self.container(host), "sh", "-euc", script, stdin=stdin)

    def key(self) -> Path:
        """The SSH key of this set."""
        path = self.folder / "id_ed25519"
        if not path.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.network, "-f", str(path))
        return path

    def prepare(self, host: Host) -> None:
        """Configure a new host as a provider does: a key for root and a name; and this machine's CA certificates."""
        # Parts of the kernel's settings are the machine's own: tests must not reach them. Those of the network
        # belong to the container's own.
        self.execute(host.name, "mount --make-rshared /; mountpoint -q /proc/sys || { mount --bind /proc/sys /proc/sys; "
                                "mount -o remount,bind,ro /proc/sys; }; mountpoint -q /proc/sys/net || "
                                "{ mount --bind /proc/sys/net /proc/sys/net; mount -o remount,bind,rw /proc/sys/net; }")
        self.execute(host.name, "mkdir -p -m 700 /root/.ssh; cat > /root/.ssh/authorized_keys",
                     Path(f"{self.key()}.pub").read_bytes())
        known = set(PEM.findall(self.execute(host.name, "cat /etc/ssl/certs/ca-certificates.crt")))
        for number, text in enumerate(c for c in PEM.findall(extra_certificates()) if c not in known):
            self.execute(host.name, f"cat > /usr/local/share/ca-certificates/controller-{number}.crt", text.encode())
        self.execute(host.name, "update-ca-certificates >/dev/null 2>&1")
        self.execute(host.name, "cat > /usr/local/share/acme-listener.pem", (self.folder / "listener.pem").read_bytes())
        for _ in range(100):
            if self.execute(host.name, "systemctl is-active ssh || :") == "active":
                return
            time.sleep(0.2)
        sys.exit(f"{host.name} did not start its SSH server")

    def lend(self) -> None:
        """For scanners: give the containers kernel settings of a real host, until `down`."""
        kept = self.folder / "kernel.json"
        if not kept.exists():
            before = {path: Path("/proc/sys", path).read_text(encoding="ascii").strip() for path in LENT}
            kept.write_text(json.dumps(before), encoding="ascii")
        script = "".join(f"f=/proc/sys/{path}; test -w $f || {{ mount --bind $f $f; mount -o remount,bind,rw $f; }}\n" for path in LENT)
        # Container networks forward packets; a new host does not.
        script += "echo 0 > /proc/sys/net/ipv4/conf/all/forwarding\n"
        # systemd-timesyncd does not run in a container. chrony does, and does not set the clock, which is the machine's.
        script += ("test -x /usr/sbin/chronyd || { echo 'DAEMON_OPTS=\"-F 1 -x\"' > /etc/default/chrony; apt-get -qq update; "
                   "DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Options::=--force-confold install --no-install-recommends chrony; }\n")
        for host in self.hosts:
            self.execute(host.name, script)

    def take_back(self) -> None:
        """Restore the kernel settings."""
        kept = self.folder / "kernel.json"
        if kept.exists():
            for path, value in json.loads(kept.read_text(encoding="ascii")).items():
                run(*SUDO, "tee", f"/proc/sys/{path}", stdin=value.encode())

    def acme_servers(self) -> None:
        """Two instances of Pebble, Let's Encrypt's test server, with their root certificates."""
        tag = image(NEWEST, "ca-certificates,openssl,pebble,python3,curl,procps")
        script = "mkdir -p /etc/pebble; cd /etc/pebble; key=$(openssl rand -base64 32 | tr +/ -_ | tr -d =); echo $key > eab-key; "
        for name, settings in ACME_SERVERS.items():
            script += f"cat > {name}.json <<END\n{PEBBLE % settings}END\n"
        script += ("openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=pebble -addext subjectAltName=DNS:pebble "
                   "-keyout key.pem -out cert.pem 2>/dev/null; export PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0; "
                   "pebble -config ca-eab.pem.json & exec pebble -config ca.pem.json")
        name = self.container("pebble")
        state = podman("inspect", "--format", "{{.State.Running}} {{.Config.Image}}", name, check=False)
        if not (state.startswith("true ") and tag in state):
            remove(name)
            podman("run", "--detach", "--name", name, "--network", self.network, "--network-alias=pebble",
                   *RIGHTS[2:], tag, "sh", "-c", script)
        for file, settings in ACME_SERVERS.items():
            self.keep(file, f"curl -sk https://localhost:{settings['management']}/roots/0")
        self.keep("listener.pem", "cat /etc/pebble/cert.pem")
        self.keep("eab-key", "cat /etc/pebble/eab-key")
        self.advisories(name)

    def keep(self, file: str, command: str) -> None:
        """Write the output of a command in the CA's container to a file, once there is any."""
        for _ in range(100):
            output = podman("exec", self.container("pebble"), "sh", "-c", command, check=False)
            if output:
                (self.folder / file).write_text(f"{output}\n", encoding="utf-8")
                return
            time.sleep(0.2)
        sys.exit("the ACME server did not start: " + podman("logs", self.container("pebble"), check=False)[-1000:])

    def advisories(self, container: str) -> None:
        """An advisory service with seeded findings, http://pebble:8000/MODE/v1/query."""
        if not podman("exec", container, "sh", "-c", "curl -s localhost:8000/asked || :"):
            for name in ("osv_stub.py", "advisories.json"):
                # The published advisory is about one version; here it applies to every version of Flask.
                data = (ROOT / "molecule" / "shared" / name).read_bytes().replace(b'"flask==3.1.0"', b'"flask"')
                self.execute("pebble", f"cat > /etc/pebble/{name}", data)
            podman("exec", "--detach", container, "python3", "/etc/pebble/osv_stub.py", "/etc/pebble/advisories.json", "8000",
                   "0.0.0.0")

    def up(self) -> None:
        """Create everything that is missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if subprocess.run([*SUDO, "podman", "network", "exists", self.network], check=False).returncode:
            podman("network", "create", self.network)
        self.acme_servers()
        images = {host.release: image(host.release, PLAIN) for host in self.hosts}
        if any(host.name not in START_PLAIN.get(self.name, []) for host in self.hosts):
            images |= {host.release: tag for host, tag in zip(self.hosts, provisioned(images).values())
                       if host.name not in START_PLAIN.get(self.name, [])}
        known = []
        for host in self.hosts:
            self.start(host, images[host.release], "/sbin/init")
            for _ in range(100):
                if "running" in (state := podman("exec", self.container(host.name), "systemctl", "is-system-running", check=False)) \
                        or "degraded" in state:
                    break
                time.sleep(0.2)
            self.prepare(host)
            address = self.address(host.name)
            (self.folder / f"{host.name}.address").write_text(address, encoding="utf-8")
            public = self.execute(host.name, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
            known.append(f"{address} {public}\n")
        (self.folder / "known_hosts").write_text("".join(known), encoding="utf-8")

    def down(self) -> None:
        """Remove everything."""
        for name in ["pebble", "auditor", "client", *[host.name for host in self.hosts]]:
            remove(self.container(name))
        podman("network", "rm", "--force", self.network, check=False)
        self.take_back()
        if self.folder.exists():
            shutil.rmtree(self.folder)


def scenario() -> Set:
    """The hosts of the scenario that Molecule runs."""
    return Set(os.environ["MOLECULE_SCENARIO_NAME"])


def main(arguments: list[str]) -> None:
    """Entry point."""
    if arguments == ["down", "molecule"]:
        for name in (*SCENARIOS, "images"):
            Set(name).down()
    elif len(arguments) == 2 and arguments[0] in ("up", "down") and arguments[1] in SETS:
        getattr(Set(arguments[1]), arguments[0])()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
