#!/usr/bin/python3 -I
"""Audit the installed packages of one application: `pip-audit-app <name>`.

    --json               print the whole report as one line of JSON instead of a summary
    --release DIRECTORY  audit this release instead of the live one, before its activation; print the report
                         as --json does, without a change of the stored report or the journal
    --scheduled          start at a random time within the next minute

The audit itself always runs in the sandbox of pip-audit-<name>@.service: this program connects to
/run/pip-audit/<name>.sock, and systemd starts a second process of it (with --serve) for the connection.

Owned by the role pip_audit. Every run has one of three results, which is in the exit
status, in the journal (`journalctl -t pip-audit-<name>`) and in /var/lib/pip-audit/<name>/report.json:

  0  clean            every package was looked up, none has a known vulnerability that is not ignored
  1  vulnerable       at least one has
  2  could-not-audit  anything else: a package or all of them could not be looked up, no live release,
                      advisory service down or with an invalid response, timeout, another audit running

`standing` in a report has all known vulnerabilities: a run that could not look up every package adds to it and
removes none. Each vulnerability that is `new` or `gone` is written to the journal once.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import syslog
import time
from pathlib import Path
from typing import TextIO

CONFIG = Path("/etc/pip-audit")
STATE = Path("/var/lib/pip-audit")
CACHE = Path("/var/cache/pip-audit")
SOCKETS = Path("/run/pip-audit")
TOOL = "/opt/pip-audit/current/bin/pip-audit"
ACCOUNT = "pip-audit"
LOCK_TIMEOUT_SECONDS = 600
STATUS = {"clean": 0, "vulnerable": 1, "could-not-audit": 2}
PRIORITY = {"clean": syslog.LOG_INFO, "vulnerable": syslog.LOG_ERR, "could-not-audit": syslog.LOG_WARNING}
# pip-audit writes this to stderr and omits the advisory from its result.
DROPPED = re.compile(r"WARNING:pip_audit\._service\S*:(.*)")


class CouldNotAudit(Exception):
    """The reason why an audit has no result."""


def one_line(text: object, limit: int = 500) -> str:
    """Text that cannot split or forge a log line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def canonical(name: str) -> str:
    """The normalized name of a package."""
    return re.sub(r"[-_.]+", "-", name).lower()


def packages_of(release: Path) -> tuple[str, Path]:
    """Id and site-packages of a release. A link is resolved first, so that an activation during the audit has no effect."""
    try:
        resolved = release.resolve(strict=True)
        folders = sorted((resolved / "venv" / "lib").glob("python3*/site-packages"))
    except OSError as error:
        raise CouldNotAudit(f"there is no such release: {error}") from None
    if len(folders) != 1 or not os.access(folders[0], os.R_OK | os.X_OK):
        raise CouldNotAudit(f"{resolved}/venv has no site-packages that {ACCOUNT} can read")
    return resolved.name, folders[0]


def run_pip_audit(config: dict, packages: Path) -> tuple[str, str]:
    """Run pip-audit and return its two outputs. Its exit status is 1 for findings and for errors, so it is not used."""
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
            # pip-audit starts child processes.
            os.killpg(running.pid, signal.SIGKILL)
            raise CouldNotAudit(f"no result within {config['timeout_seconds']} seconds") from None


def cause(errors: str) -> str:
    """The last exception of a traceback that has a message, or the last line."""
    lines = [line for line in errors.splitlines() if line.strip()] or ["no output"]
    return (re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Timeout): .+)$", errors, re.MULTILINE) or lines)[-1]


def names_of(finding: dict) -> set[str]:
    """The id of an advisory and its aliases; services differ in which one is the id."""
    return {name.upper() for name in (finding["id"], *finding["aliases"])}


def same(one: dict, other: dict) -> bool:
    """Whether two findings have the same advisory and package, regardless of the installed version."""
    return canonical(one["package"]) == canonical(other["package"]) and bool(names_of(one) & names_of(other))


def apply_ignores(config: dict, body: dict, today: str) -> None:
    """Move findings that the operator ignores to `ignored`, until the last day of the rule."""
    counted = []
    for finding in body["findings"]:
        rule = next((rule for rule in config["ignores"] if rule["id"].upper() in names_of(finding) and today <= rule["until"]), None)
        if rule:
            body["ignored"].append({**finding, "reason": rule["reason"], "until": rule["until"]})
        else:
            counted.append(finding)
    body["findings"] = counted
    body["expired_ignores"] = [rule for rule in config["ignores"] if rule["until"] < today]


def parse(config: dict, output: str, errors: str, today: str) -> dict:
    """The output of pip-audit as the body of a report."""
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
    body = {"findings": findings, "ignored": [], "skipped": skipped, "reason": ""}
    apply_ignores(config, body, today)
    body["counts"] = {"packages": len(dependencies), "audited": len(known), "skipped": len(skipped),
                      "vulnerable": len({f["package"] for f in body["findings"]}), "findings": len(body["findings"]),
                      "ignored": len(body["ignored"])}
    if unknown:
        body["reason"] = f"{len(unknown)} of {len(dependencies)} packages could not be looked up: {', '.join(unknown)}"
    elif dropped:
        body["reason"] = f"the advisory service sent what pip-audit cannot read: {dropped[0]}"
    elif not known:
        body["reason"] = "no package was looked up"
    # A vulnerability counts even when another package could not be looked up.
    body["state"] = "vulnerable" if body["findings"] else "could-not-audit" if body["reason"] else "clean"
    return body


def compare(report: dict, before: list[dict]) -> None:
    """Set `new`, `gone` and `standing`. Only a complete audit shows that a finding is gone."""
    report["new"] = [f for f in report["findings"] if not any(same(f, old) for old in before)]
    left = [old for old in before if not any(same(old, f) for f in report["findings"])]
    kept = [old for old in left if report["reason"] and not any(same(old, f) for f in report["ignored"])]
    report["gone"] = [old for old in left if old not in kept]
    report["standing"] = [{**f, "release": report["release"]} for f in report["findings"]] + kept


def shown(finding: dict) -> str:
    """One finding as text."""
    fixed = f"fixed in {finding['fixed'][0]}" if finding["fixed"] else "no fix"
    return f"{finding['package']} {finding['installed']} {finding['id']} ({fixed})"


def summary(report: dict) -> str:
    """The result of a run as one line."""
    counts, where = report["counts"], f"release {report['release']}"
    extras = [f"ignored {f['package']} {f['id']} until {f['until']}: {f['reason']}" for f in report["ignored"]]
    extras += [f"the ignore of {rule['id']} expired on {rule['until']}" for rule in report["expired_ignores"]]
    if report["state"] == "could-not-audit":
        text = f"could not audit: {where}: {report['reason']}"
    elif report["state"] == "clean":
        text = f"clean: {where}, {counts['audited']} packages"
    else:
        text = (f"vulnerable: {where}, {counts['vulnerable']} of {counts['packages']} packages: "
                f"{', '.join(map(shown, report['findings']))}")
        extras += [report["reason"]] if report["reason"] else []
    return "; ".join([text, *extras])


def log_result(report: dict) -> None:
    """Write the result, and findings that are new or gone, to the journal."""
    syslog.openlog(f"pip-audit-{report['application']}", 0, syslog.LOG_CRON)
    for finding in report["new"]:
        syslog.syslog(syslog.LOG_ERR, one_line(f"new finding: {shown(finding)}, release {report['release']}"))
    for finding in report["gone"]:
        syslog.syslog(syslog.LOG_NOTICE, one_line(f"finding gone: {shown(finding)}"))
    syslog.syslog(PRIORITY[report["state"]], one_line(summary(report), 2000))


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
    """The text of an exception, as a reason."""
    return one_line(error if isinstance(error, CouldNotAudit) else f"{type(error).__name__}: {error}")


def empty(name: str, reason: str = "") -> dict:
    """The report of an audit that has not succeeded yet."""
    return {"application": name, "state": "could-not-audit", "reason": reason, "time": now(), "release": "none", "service": "",
            "counts": dict.fromkeys(("packages", "audited", "skipped", "vulnerable", "findings", "ignored"), 0),
            "findings": [], "ignored": [], "expired_ignores": [], "skipped": [], "new": [], "gone": [], "standing": []}


def now() -> str:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def standing_before(path: Path) -> list[dict]:
    """`standing` of the last report; empty when there is none or it is damaged."""
    try:
        reported = json.loads(path.read_text(encoding="utf-8"))["standing"]
        return [f for f in reported if isinstance(f["package"] + f["id"] + f["installed"], str) and f["aliases"] + f["fixed"] is not None]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def examine(name: str, report: dict, release: Path | None) -> None:
    """Audit and fill in the report. An error is a result too."""
    try:
        config = json.loads((CONFIG / f"{name}.json").read_text(encoding="utf-8"))
        report["service"] = config["osv_url"] if config["service"] == "osv" else config["service"]
        report["release"], packages = packages_of(release or Path(config["release"]))
        report |= parse(config, *run_pip_audit(config, packages), now()[:10])
    except Exception as error:  # pylint: disable=broad-exception-caught
        report["reason"] = words(error)
    report["time"] = now()


def acquire(lock: object, timeout_seconds: float) -> None:
    """Take the lock: audits of one application do not overlap."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise CouldNotAudit("another audit of this application is running") from None
            time.sleep(0.5)


def audit(name: str, release: Path | None = None) -> dict:
    """One audit under the lock. An audit of the live release does not wait for another one, and stores its report. An
    audit of another release waits, because the running audit has a different subject."""
    report, path = empty(name), STATE / name / "report.json"
    try:
        with open(STATE / name / "lock", "w", encoding="utf-8") as lock:
            acquire(lock, LOCK_TIMEOUT_SECONDS if release else 0)
            examine(name, report, release)
            if release is None:
                compare(report, standing_before(path))
                write_report(path, report)
    except Exception as error:  # pylint: disable=broad-exception-caught
        # A report that cannot be stored is a failure.
        report |= {"state": "could-not-audit", "reason": words(error)}
    return report


def serve(name: str, request: TextIO, response: TextIO) -> None:
    """The server side of the socket: read the request, one line of JSON, and write the report."""
    wanted = json.loads(request.readline() or "{}").get("release")
    report = audit(name, Path(wanted) if wanted else None)
    if not wanted:
        log_result(report)
    print(json.dumps(report), file=response, flush=True)


def request_audit(name: str, release: Path | None) -> dict:
    """The client side of the socket: request an audit and return its report."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(SOCKETS / f"{name}.sock"))
            connection.sendall(json.dumps({"release": str(release) if release else None}).encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            report = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")) or "null")
        if not isinstance(report, dict) or report.get("state") not in STATUS:
            raise CouldNotAudit(f"the audit ended without a report; see: journalctl -u 'pip-audit-{name}@*'")
        return report
    except Exception as error:  # pylint: disable=broad-exception-caught
        report = empty(name, words(error))
        if release is None:
            log_result(report)
        return report


def name_of(text: str) -> str:
    """The name of an application."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", text):
        raise argparse.ArgumentTypeError("not an application's name")
    return text


def directory(text: str) -> Path:
    """The directory of a release."""
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError("not an absolute path")
    return Path(text)


def main() -> int:
    """Audit, print the result, and return the exit status."""
    parser = argparse.ArgumentParser(prog="pip-audit-app", allow_abbrev=False)
    parser.add_argument("application", type=name_of)
    parser.add_argument("--json", action="store_true", help="print the whole report as one line of JSON")
    parser.add_argument("--release", type=directory, metavar="DIRECTORY", help="audit this release instead of the live one")
    parser.add_argument("--scheduled", action="store_true", help="start at a random time within the next minute")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.application, sys.stdin, sys.stdout)
        return 0
    if given.scheduled:
        time.sleep(random.SystemRandom().uniform(0, 60))
    report = request_audit(given.application, given.release)
    print(json.dumps(report) if given.json or given.release else one_line(summary(report), 2000))
    return STATUS[report["state"]]


if __name__ == "__main__":
    sys.exit(main())
