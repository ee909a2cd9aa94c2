#!/usr/bin/python3 -I
"""Audit the packages one application really runs: `pip-audit-app <name>`.

With `--release DIRECTORY` it audits that release instead of the live one, before it goes live: the whole
report is printed as one line of JSON, and nothing is written or announced.

Owned by the role pip_audit. Every run ends in exactly one of three results, the same one in the exit
status, in the journal (`journalctl -t pip-audit-<name>`) and in /var/lib/pip-audit/<name>/report.json:

  0  clean            every package was looked up, none has a known vulnerability
  1  vulnerable       at least one has
  2  could-not-audit  anything else: a package or all of them could not be looked up, no live release,
                      advisory service down or talking nonsense, time-out, another audit running
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import syslog
import time
from pathlib import Path

CONFIG = Path("/etc/pip-audit")
STATE = Path("/var/lib/pip-audit")
CACHE = Path("/var/cache/pip-audit")
TOOL = "/opt/pip-audit/current/bin/pip-audit"
ACCOUNT = "pip-audit"
PATIENCE_SECONDS = 600
STATUS = {"clean": 0, "vulnerable": 1, "could-not-audit": 2}
PRIORITY = {"clean": syslog.LOG_INFO, "vulnerable": syslog.LOG_ERR, "could-not-audit": syslog.LOG_WARNING}
# pip-audit says so on stderr and then leaves the advisory out, as if there were none.
DROPPED = re.compile(r"WARNING:pip_audit\._service\S*:(.*)")


class CouldNotAudit(Exception):
    """Why there is no answer."""


def one_line(text: object, limit: int = 500) -> str:
    """Text that can neither split nor forge a log line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def packages_of(release: Path) -> tuple[str, Path]:
    """Id and site-packages of a release; a switch of the link it may be changes neither."""
    try:
        resolved = release.resolve(strict=True)
        found = sorted((resolved / "venv" / "lib").glob("python3*/site-packages"))
    except OSError as error:
        raise CouldNotAudit(f"there is no such release: {error}") from None
    if len(found) != 1 or not os.access(found[0], os.R_OK | os.X_OK):
        raise CouldNotAudit(f"{resolved}/venv has no site-packages that {ACCOUNT} can read")
    return resolved.name, found[0]


def ask(config: dict, packages: Path) -> tuple[str, str]:
    """Run pip-audit; its two outputs. It exits 1 for findings and for every error alike, so that the
    status says nothing."""
    command = [TOOL, "--path", str(packages), "--vulnerability-service", config["service"], "--format", "json",
               "--desc", "off", "--aliases", "on", "--progress-spinner", "off", "--cache-dir", str(CACHE),
               "--timeout", str(config["request_timeout_seconds"])]
    if config["service"] == "osv":
        command += ["--osv-url", config["osv_url"]]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(CACHE), "PIP_CONFIG_FILE": "/dev/null",
                   "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1",
                   **dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT"), config["ca_bundle"])}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", env=environment, cwd="/", start_new_session=True) as running:
        try:
            return running.communicate(timeout=config["timeout_seconds"])
        except subprocess.TimeoutExpired:
            # pip-audit has children of its own.
            os.killpg(running.pid, signal.SIGKILL)
            raise CouldNotAudit(f"no answer within {config['timeout_seconds']} seconds") from None


def cause(errors: str) -> str:
    """The line of a traceback that says most: the last exception with a text of its own."""
    lines = [line for line in errors.splitlines() if line.strip()] or ["it said nothing"]
    return (re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Timeout): .+)$", errors, re.MULTILINE) or lines)[-1]


def read_answer(config: dict, output: str, errors: str) -> dict:
    """What pip-audit found, as the body of a report."""
    try:
        dependencies = json.loads(output)["dependencies"]
        known = [d for d in dependencies if "skip_reason" not in d]
        findings = [{"package": d["name"], "installed": d["version"], "fixed": v["fix_versions"], "id": v["id"],
                     "aliases": v["aliases"]} for d in known for v in d["vulns"]]
        skipped = [{"package": d["name"], "reason": d["skip_reason"]} for d in dependencies if "skip_reason" in d]
    except (ValueError, TypeError, KeyError):
        raise CouldNotAudit(f"pip-audit gave no result: {cause(errors)}") from None
    private = {canonical(name) for name in config["private_packages"]}
    unknown = [s["package"] for s in skipped if canonical(s["package"]) not in private]
    dropped = DROPPED.findall(errors)
    body = {"counts": {"packages": len(dependencies), "audited": len(known), "skipped": len(skipped),
                       "vulnerable": len({f["package"] for f in findings}), "findings": len(findings)},
            "findings": findings, "skipped": skipped, "reason": ""}
    if unknown:
        body["reason"] = f"{len(unknown)} of {len(dependencies)} packages could not be looked up: {', '.join(unknown)}"
    elif dropped:
        body["reason"] = f"the advisory service sent what pip-audit cannot read: {dropped[0]}"
    elif not known:
        body["reason"] = "no package was looked up"
    # What was found is true, even where something else could not be looked up.
    body["state"] = "vulnerable" if findings else "could-not-audit" if body["reason"] else "clean"
    return body


def summary(report: dict) -> str:
    """The one line of a run."""
    counts, where = report["counts"], f"release {report['release']}"
    if report["state"] == "clean":
        return f"clean: {where}, {counts['audited']} packages"
    if report["state"] == "could-not-audit":
        return f"could not audit: {where}: {report['reason']}"
    texts = [f"{f['package']} {f['installed']} {f['id']} ({'fixed in ' + f['fixed'][0] if f['fixed'] else 'no fix'})"
             for f in report["findings"]]
    more = f"; also, {report['reason']}" if report["reason"] else ""
    return f"vulnerable: {where}, {counts['vulnerable']} of {counts['packages']} packages: {', '.join(texts)}{more}"


def write_report(path: Path, report: dict) -> None:
    """Replace the report atomically."""
    temporary = path.with_name(".report.json")
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(report, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fchmod(stream.fileno(), 0o644)
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def words(error: Exception) -> str:
    """An exception as a reason."""
    return one_line(error if isinstance(error, CouldNotAudit) else f"{type(error).__name__}: {error}")


def examine(name: str, report: dict, release: Path | None) -> None:
    """Fill in the report; whatever goes wrong is a result too."""
    try:
        config = json.loads((CONFIG / f"{name}.json").read_text(encoding="utf-8"))
        report["service"] = config["osv_url"] if config["service"] == "osv" else config["service"]
        report["release"], packages = packages_of(release or Path(config["release"]))
        report |= read_answer(config, *ask(config, packages))
    except Exception as error:  # pylint: disable=broad-exception-caught
        report["reason"] = words(error)
    report["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def take(lock: object, patience_seconds: float) -> None:
    """Two audits of one application never overlap."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise CouldNotAudit("another audit of it is running, whose report is to come") from None
            time.sleep(0.5)


def audit(name: str, release: Path | None = None) -> dict:
    """One audit under the lock. That of the live release waits for nobody and leaves its report on disk;
    that of another waits for the other audit, which is of something else."""
    report = {"application": name, "state": "could-not-audit", "reason": "", "time": "", "release": "none", "service": "",
              "counts": dict.fromkeys(("packages", "audited", "skipped", "vulnerable", "findings"), 0),
              "findings": [], "skipped": []}
    try:
        with open(STATE / name / "lock", "w", encoding="utf-8") as lock:
            take(lock, PATIENCE_SECONDS if release else 0)
            examine(name, report, release)
            if release is None:
                write_report(STATE / name / "report.json", report)
    except Exception as error:  # pylint: disable=broad-exception-caught
        # A result that nobody can read later is none.
        report |= {"state": "could-not-audit", "reason": words(error)}
    return report


def name_of(text: str) -> str:
    """An application's name."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", text):
        raise argparse.ArgumentTypeError("not an application's name")
    return text


def directory(text: str) -> Path:
    """A release's directory."""
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError("not an absolute path")
    return Path(text)


def main() -> int:
    """Audit, tell the journal, and return the exit status."""
    parser = argparse.ArgumentParser(prog="pip-audit-app", allow_abbrev=False)
    parser.add_argument("application", type=name_of)
    parser.add_argument("--release", type=directory, metavar="DIRECTORY", help="audit this release instead of the live one")
    given = parser.parse_args()
    if os.geteuid() == 0:
        os.execv("/usr/sbin/runuser", ["runuser", "-u", ACCOUNT, "--", os.path.abspath(__file__), *sys.argv[1:]])
    report = audit(given.application, given.release)
    if given.release:
        print(json.dumps(report))
    else:
        line = one_line(summary(report), 2000)
        syslog.openlog(f"pip-audit-{given.application}", 0, syslog.LOG_CRON)
        syslog.syslog(PRIORITY[report["state"]], line)
        print(line)
    return STATUS[report["state"]]


if __name__ == "__main__":
    sys.exit(main())
