"""What is checked: audits, certificates, units, responses, disks, Python and deliveries."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from alarm_channel import TIMEOUT, certificates, journal, log_excerpt, spool, symptoms, writes

# Bytes read of a log, and seconds after which a message is late.
TAIL_BYTES, LATE_SECONDS = 8 << 20, 900
# Minutes for which errors of a sandbox and reports of browsers count, and the number of reports that is an alert: a browser's own
# extensions cause some.
RECENT_MINUTES, REPORTS = 60, 10
AUDIT_CONFIG, AUDIT_STATE = Path("/etc/pip-audit"), Path("/var/lib/pip-audit")
ACCESS_LOGS, WRITTEN = Path("/var/log/nginx"), Path("/var")
APT, OS_RELEASE, PYTHON, TOOLS = Path("/etc/apt"), Path("/etc/os-release"), Path("/usr/bin/python3"), Path("/opt")
# Releases of Debian, the oldest first.
RELEASES = ("bookworm", "trixie", "forky", "duke")
# Units of this collection. A name without a star is checked even when it is not loaded.
UNITS = ("nginx.service", "cron.service", "logrotate.timer", "gunicorn-*", "session-store@*", "acme-cert-*", "pip-audit-*",
         "alarm-channel-*", "flask-logs-*", "host-access-*", "host-baseline-*", "systemd-journald@*")


def age(text: str) -> float:
    """Seconds since a time in a report."""
    return time.time() - datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def look_at_audits(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """The reports of pip-audit of every configured application."""
    for path in sorted(AUDIT_CONFIG.glob("*.json")):
        app, period = path.stem, json.loads(path.read_text(encoding="utf-8")).get("period_seconds", 86400)
        try:
            report = json.loads((AUDIT_STATE / app / "report.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            report = None
        late = time.time() - path.stat().st_mtime if report is None else age(report["time"])
        if late > 2 * period:
            last = "there has been no audit" if report is None else f"the last audit was at {report['time']}"
            yield f"audit/{app}/stale", "critical", f"{app}: {last}, more than two periods ago; is cron running?"
        if report is None:
            continue
        measured += [("audit_state", {"app": app, "state": name}, int(report["state"] == name))
                     for name in ("clean", "vulnerable", "could-not-audit")]
        measured += [("audit_timestamp_seconds", {"app": app}, time.time() - late),
                     ("audit_findings", {"app": app}, len(report.get("standing", [])))]
        if report["state"] == "could-not-audit":
            yield f"audit/{app}/could-not-audit", "warning", f"{app}: could not audit release {report['release']}: {report['reason']}"
        for finding in report.get("standing", []):
            # The key of an advisory does not depend on which of its names a service lists first.
            name = min([n for n in (finding["id"], *finding["aliases"]) if n.startswith("CVE-")] or [finding["id"]])
            fixed = f"fixed in {', '.join(finding['fixed'])}" if finding["fixed"] else "no fix yet"
            yield (f"audit/{app}/{finding['package'].lower()}/{name}", "critical",
                   f"{app}: vulnerable: {finding['package']} {finding['installed']} has {', '.join([finding['id'], *finding['aliases']])}, "
                   f"{fixed}; release {finding['release']}")


def units(patterns: list[str]) -> list[dict]:
    """Properties of units, from systemd."""
    names = "Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts,Result"
    done = subprocess.run(["/usr/bin/systemctl", "show", f"--property={names}", "--", *patterns], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise OSError(f"systemctl: {done.stderr}")
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in done.stdout.split("\n\n") if block.strip()]
    return [block for block in blocks if block["LoadState"] == "loaded"]


def look_at_units(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """Units that failed, that are enabled and do not run, or that restart repeatedly."""
    now, limits, seen = time.time(), config["crash_loop"], {}
    for unit in units([*UNITS, *config["units"]]):
        name = unit["Id"]
        if unit["ActiveState"] == "failed":
            yield f"unit/{name}", "critical", f"{name} has failed ({unit['Result']}); see: journalctl -u {name}"
        elif unit["ActiveState"] == "inactive" and unit["UnitFileState"] == "enabled" and (
                name.endswith(".timer") or name in (*UNITS, *config["units"])):
            yield f"unit/{name}", "critical", f"{name} is enabled and does not run; start it: systemctl start {name}"
        if name.endswith(".service") and name.startswith("gunicorn-"):
            restarts = int(unit.get("NRestarts") or 0)
            # A new unit may have restarted before the first check. A lower count means that counting began again.
            samples = [s for s in state["restarts"].get(name, [(now, 0)]) if s[0] > now - limits["minutes"] * 60 and s[1] <= restarts]
            seen[name] = [*samples, (now, restarts)]
            risen = restarts - min(n for _unused, n in seen[name])
            if risen >= limits["restarts"]:
                yield (f"crash-loop/{name}", "critical",
                       f"{name} was restarted {risen} times within {limits['minutes']} minutes; see its application's journal")
    state["restarts"] = seen


def logged(app: str, unit: str) -> list[str]:
    """What a unit of an application has logged of late, warnings and errors."""
    done = subprocess.run(["/usr/bin/journalctl", f"--namespace={app}", f"--unit={unit}", "--priority=warning", f"--since=-{RECENT_MINUTES}min",
                           "--lines=1000", "--output=cat", "--quiet", "--no-pager"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", timeout=TIMEOUT, check=False)
    return [log_excerpt.text_of(line) for line in done.stdout.splitlines()]


def look_at_sandboxes(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """Errors of running applications that their sandbox or their limits cause."""
    for unit in units(["gunicorn-*"]):
        app, template, instance = unit["Id"].removeprefix("gunicorn-").partition("@")
        if not template or not instance.endswith(".service") or unit["ActiveState"] != "active":
            continue
        texts = logged(app, unit["Id"])
        places = dict.fromkeys(writes.folder_of(entry) for text in texts for entry in writes.written(text))
        advice = [f"it writes to {', '.join(places)} below its release; add this to shared in its entry"] if places else []
        advice += symptoms.advice(texts)
        if advice:
            yield f"sandbox/{app}", "warning", f"{app}: its sandbox or its limits denied: {'; '.join(advice)}"


def moment(value: object) -> float:
    """The time of a log line: seconds or milliseconds since 1970, or ISO 8601."""
    try:
        seconds = float(value)  # type: ignore[arg-type]
        return seconds / 1000 if seconds > 1e11 else seconds
    except ValueError:
        return datetime.datetime.fromisoformat(str(value)).timestamp()


def lines_since(folder: Path, begin: float, log: str = "access.log") -> Iterator[dict]:
    """Lines of a log of nginx since `begin`, including rotated files."""
    for path in folder.glob(f"{log}*"):
        if path.suffix == ".gz" or path.stat().st_mtime < begin:
            continue
        with open(path, "rb") as stream:
            if (size := stream.seek(0, os.SEEK_END)) > TAIL_BYTES:
                stream.seek(size - TAIL_BYTES)
                stream.readline()
            else:
                stream.seek(0)
            for line in stream:
                try:
                    entry = json.loads(line)
                    if moment(entry["time"]) >= begin:
                        yield entry
                except (ValueError, TypeError, KeyError):
                    continue


def look_at_responses(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """The share of 5xx among the responses of the last minutes."""
    limits = config["errors"]
    for app in config["sites"]:
        statuses = [str(entry.get("status")) for entry in lines_since(ACCESS_LOGS / app, time.time() - limits["minutes"] * 60)]
        failed = sum(bool(re.fullmatch(r"5\d\d", status)) for status in statuses)
        measured += [("http_responses", {"app": app}, len(statuses)), ("http_5xx_responses", {"app": app}, failed)]
        if failed >= limits["minimum"] and failed * 100 >= limits["percent"] * len(statuses):
            yield (f"errors/{app}", "critical", f"{app}: {failed} of {len(statuses)} responses of the last {limits['minutes']} minutes were "
                   f"5xx ({failed * 100 // len(statuses)} %); see: journalctl --namespace={app}")


def violation(text: str) -> str:
    """Directive and blocked resource of a browser's report; anything else is a client's own text, and counts as unknown."""
    try:
        report = json.loads(text)
        body = report[0]["body"] if isinstance(report, list) else report["csp-report"]
        directive, blocked = (str(body.get(one) or body.get(other) or "") for one, other in (
            ("effectiveDirective", "effective-directive"), ("blockedURL", "blocked-uri")))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return "unknown"
    origin = re.match(r"https?://[\w.:-]{1,100}|[\w-]{1,30}$", blocked)
    return f"{directive} {origin[0] if origin else 'unknown'}" if re.fullmatch(r"[a-z-]{1,30}", directive) else "unknown"


def look_at_reports(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """What browsers report that a Content-Security-Policy blocked."""
    for app in config["sites"]:
        entries = lines_since(ACCESS_LOGS / app, time.time() - RECENT_MINUTES * 60, "csp.log")
        violations = Counter(violation(str(entry.get("report"))) for entry in entries)
        measured.append(("csp_reports", {"app": app}, violations.total()))
        if violations.total() >= REPORTS:
            yield (f"csp/{app}", "warning", f"{app}: browsers reported {violations.total()} violations of the Content-Security-Policy within "
                   f"{RECENT_MINUTES} minutes: {', '.join(f'{what} ({number})' for what, number in violations.most_common(5))}; "
                   f"see: /var/log/nginx/{app}/csp.log")


def look_at_disks(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """Free space and free inodes of the file systems that applications, logs and the system write to, and of limits of applications."""
    sizes: dict[int, int] = {}
    for path in (Path("/"), *(WRITTEN / name for name in ("log", "lib", "tmp")), *(WRITTEN / "lib" / app for app in config["sites"])):
        if not path.exists():
            continue
        device, disk = path.stat().st_dev, os.statvfs(path)
        # A directory with a project quota shows its limit as the size.
        if sizes.get(device) == disk.f_blocks:
            continue
        sizes.setdefault(device, disk.f_blocks)
        for what, free, size in (("space", disk.f_bavail, disk.f_blocks), ("inodes", disk.f_favail, disk.f_files)):
            left = free * 100 / size if size else 100  # a file system such as btrfs has no limit of inodes
            measured.append(("disk_free_ratio", {"path": str(path), "of": what}, left / 100))
            for severity in ("critical", "warning"):
                if left < config["disk"][f"{severity}_percent"]:
                    yield f"disk{path}/{what}".replace("//", "/"), severity, f"{path} has {left:.0f} % of its {what} left; see: du -xh --max-depth=2 {path}"
                    break


def look_at_deliveries(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """Channels that could not deliver for a while; the others report it."""
    waiting = [entry for _unused, entry in spool.messages()]
    for channel in config["channels"]:
        oldest = min([entry["created"] for entry in waiting if entry["channel"] == channel], default=time.time())
        measured.append(("spooled_messages", {"channel": channel}, sum(entry["channel"] == channel for entry in waiting)))
        if time.time() - oldest > LATE_SECONDS:
            yield f"channel/{channel}", "warning", f"no {channel} was delivered since {journal.utc(oldest)}; see: journalctl -t alarm-channel"


def suites() -> set[str]:
    """The releases of Debian that the package sources name."""
    words: set[str] = set()
    for path in (APT / "sources.list", *sorted((APT / "sources.list.d").glob("*.list")), *sorted((APT / "sources.list.d").glob("*.sources"))):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
            if line.startswith(("deb ", "Suites:")):
                words |= {re.split("[-/]", word)[0] for word in line.split()}
    return words & set(RELEASES)


def look_at_python(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """Whether another Python is about to come, or has come: virtual environments go on with theirs only while it is installed."""
    release = re.search(r"^VERSION_CODENAME=(\w+)", OS_RELEASE.read_text(encoding="utf-8"), re.MULTILINE)
    interpreters = {Path(os.path.realpath(path)) for name in ("bandit", "certbot", "pip-audit", "uv")
                    if os.path.lexists(path := TOOLS / name / "current/bin/python")}
    newer = [name for name in RELEASES if release and release[1] in RELEASES and name in suites() and RELEASES.index(name) > RELEASES.index(release[1])]
    if newer:
        yield ("python/upgrade", "warning", f"the package sources name {', '.join(newer)}, and this host is {release[1]}: an upgrade brings another Python. "
               "Run site.yml right after it")
    for old in sorted(interpreters - {PYTHON.resolve()}):
        if old.exists():
            yield (f"python/{old.name}", "warning", f"virtual environments use {old}, and this host has {PYTHON.resolve().name} now: run site.yml "
                   f"before {old.name} is removed")
        else:
            yield f"python/{old.name}", "critical", f"virtual environments use {old}, which is gone: run site.yml"


LOOKS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "audits": (look_at_audits, ("audit/",)), "certificates": (certificates.look_at, ("certificate/",)),
    "units": (look_at_units, ("unit/", "crash-loop/")), "responses": (look_at_responses, ("errors/",)), "sandboxes": (look_at_sandboxes, ("sandbox/",)),
    "reports": (look_at_reports, ("csp/",)),
    "disks": (look_at_disks, ("disk/",)), "python": (look_at_python, ("python/",)), "deliveries": (look_at_deliveries, ("channel/",))}


def look(config: dict, state: dict, measured: list) -> dict:
    """All current alerts. A check that fails is an alert itself and resolves nothing."""
    alerts = {key: alert for key, alert in state["alerts"].items() if key.startswith("sent/")}
    for name, (function, prefixes) in LOOKS.items():
        try:
            alerts |= {journal.one_line(key, 200): {"severity": severity, "text": journal.one_line(text)}
                       for key, severity, text in function(config, state, measured)}
        except Exception as error:  # pylint: disable=broad-exception-caught
            alerts |= {key: alert for key, alert in state["alerts"].items() if key.startswith(prefixes)}
            alerts[f"check/{name}"] = {"severity": "warning", "text": journal.one_line(f"{name} could not be checked: {type(error).__name__}: {error}")}
    return alerts
