#!/usr/bin/python3 -I
"""Alerts of this host: `alarm-channel check | deliver | send | status`.

    check    check audits, certificates, units and responses; announce alerts that begin or end
    deliver  send announced alerts by mail and to the webhook; retry those that could not be sent
    send     raise or resolve an alert of your own: `send KEY TEXT`, `send KEY --resolved`
    status   list current alerts and waiting messages

Owned by the role alarm_channel. Timers start `check` and `deliver` every minute. Every alert has a key. It is announced when
it begins, becomes more severe, and ends: in the journal (`journalctl -t alarm-channel`), and by mail and to a webhook where
they are configured. A message waits in /var/lib/alarm-channel/spool until it is delivered; a message that is discarded is an
error in the journal and counts in the metrics.
"""

from __future__ import annotations

import argparse
import datetime
import email.message
import email.utils
import fcntl
import json
import os
import re
import secrets
import smtplib
import socket
import ssl
import subprocess
import sys
import syslog
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = Path("/etc/alarm-channel/config.json")
# A file for each application: a run that does not name one leaves its alerts.
SITES = Path("/etc/alarm-channel/sites")
STATE = Path("/var/lib/alarm-channel")
AUDIT_CONFIG, AUDIT_STATE = Path("/etc/pip-audit"), Path("/var/lib/pip-audit")
ACCESS_LOGS, WRITTEN = Path("/var/log/nginx"), Path("/var")
WEB_SERVER = ("127.0.0.1", 443)
ACCOUNT = "alarm-channel"
# In the subject of the placeholder certificate.
PLACEHOLDER = "not issued yet"
SEVERITIES = ("warning", "critical")
PRIORITY = {"warning": syslog.LOG_WARNING, "critical": syslog.LOG_ERR}
# Units of this collection. A name without a star is checked even when it is not loaded.
UNITS = ("nginx.service", "cron.service", "logrotate.timer", "gunicorn-*", "session-store@*", "acme-cert-*", "pip-audit-*",
         "alarm-channel-*", "host-baseline-*", "systemd-journald@*")
# Limits: messages in the spool and their age, events in a message, alerts raised by `send`, bytes read of a log.
SPOOL_MAX, SPOOL_DAYS, EVENTS_MAX, SENT_MAX, TAIL_BYTES = 500, 7, 100, 200, 8 << 20
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, LATE_SECONDS = 60, 3600, 900
TIMEOUT = 20
# A check takes five minutes at most: its unit ends it then.
LOCK_SECONDS = 330


class Undeliverable(Exception):
    """Why a message could not be delivered."""


def one_line(text: object, limit: int = 500) -> str:
    """Text on one line, so that it cannot forge a line of a log, a header or a metric."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def say(priority: int, text: str) -> None:
    """Write one line to the journal."""
    syslog.syslog(priority, one_line(text, 2000))


def utc(seconds: float) -> str:
    """A time as ISO 8601 in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(path: Path, text: str, mode: int) -> None:
    """Replace a file atomically."""
    temporary = path.with_name(f".{path.name}.new")
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())
    os.replace(temporary, path)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of this name."""
    path, deadline = STATE / f".{name}.lock", time.monotonic() + LOCK_SECONDS
    with open(path, "w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"alarm-channel: another run holds {path} for more than {LOCK_SECONDS} seconds "
                                     f"(`fuser -v {path}` shows it)") from None
                time.sleep(0.1)
        yield


def read_config() -> dict:
    """The settings of the host, with the domains of each application."""
    sites = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(SITES.glob("*.json"))}
    return {**json.loads(CONFIG.read_text(encoding="utf-8")), "sites": sites}


def read_state() -> dict:
    """Current alerts, and what one check passes to the next."""
    state = {"alerts": {}, "restarts": {}, "dropped": 0}
    try:
        return state | json.loads((STATE / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return state
    except ValueError as error:
        say(syslog.LOG_ERR, f"state.json is damaged; all alerts are announced again: {error}")
        return state


def write_state(state: dict) -> None:
    """Save the state."""
    write(STATE / "state.json", json.dumps(state, indent=1), 0o644)


# --- checks: each function yields (key, severity, text), and raises an exception when it cannot check


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


def served_certificate(domain: str, ciphers: str = "") -> bytes:
    """The certificate that the web server presents for a name, trusted or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    # For an IP address no server name is sent; the certificate depends on the address family.
    server = ("::1", WEB_SERVER[1]) if ":" in domain else WEB_SERVER
    with socket.create_connection(server, timeout=5) as plain, context.wrap_socket(plain, server_hostname=domain) as connection:
        return connection.getpeercert(binary_form=True) or b""


def served_certificates(domain: str) -> dict[str, bytes]:
    """The certificate of a name, and the RSA certificate for clients without ECDSA, if there is one."""
    certificates = {domain: served_certificate(domain)}
    try:
        rsa = served_certificate(domain, "aRSA")
    except ssl.SSLError:
        return certificates
    return certificates if rsa in certificates.values() else certificates | {f"{domain}/rsa": rsa}


def dates(certificate: bytes) -> tuple[float, float, bool]:
    """Begin, end, and whether it is the placeholder certificate."""
    done = subprocess.run(["/usr/bin/openssl", "x509", "-inform", "DER", "-noout", "-dates", "-subject"],
                          input=certificate, capture_output=True, timeout=TIMEOUT, check=True)
    fields = dict(line.split("=", 1) for line in done.stdout.decode(errors="replace").splitlines() if "=" in line)
    begin, end = (ssl.cert_time_to_seconds(fields[name]) for name in ("notBefore", "notAfter"))
    return begin, end, PLACEHOLDER in fields["subject"]


def look_at_certificates(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """The served certificates, not those on disk: a renewed certificate takes effect when it is loaded."""
    for domain in dict.fromkeys(domain for domains in config["sites"].values() for domain in domains):
        try:
            served = {name: dates(certificate) for name, certificate in served_certificates(domain).items()}
        except (OSError, subprocess.SubprocessError) as error:
            yield f"certificate/{domain}", "critical", f"{domain}: the web server presents no certificate: {error}"
            continue
        for name, (begin, end, is_placeholder) in served.items():
            labels = {"domain": domain} if name == domain else {"domain": domain, "key": "rsa"}
            measured += [("certificate_not_before_seconds", labels, begin), ("certificate_not_after_seconds", labels, end)]
            yield from lifetime_alerts(name, begin, end, is_placeholder, config["certificate"])


def lifetime_alerts(name: str, begin: float, end: float, is_placeholder: bool, limits: dict) -> Iterator[tuple]:
    """Alerts about the remaining lifetime of a certificate."""
    left = max(0, end - time.time()) * 100 / max(1, end - begin)
    text = (f"{name}: the served certificate has {left:.0f} % of its lifetime left, until {utc(end)}; "
            "of an ACME CA: see journalctl -u 'acme-cert-renew@*'; external or self-signed: run certificates.yml")
    if left < limits["critical_percent"]:
        yield f"certificate/{name}", "critical", text if left else f"{name}: the served certificate expired at {utc(end)}"
    elif left < limits["warning_percent"]:
        yield f"certificate/{name}", "warning", text
    elif is_placeholder:
        yield f"certificate/{name}", "warning", f"{name}: the placeholder certificate is served; the CA has not issued one"


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


def moment(value: object) -> float:
    """The time of a log line: seconds or milliseconds since 1970, or ISO 8601."""
    try:
        seconds = float(value)  # type: ignore[arg-type]
        return seconds / 1000 if seconds > 1e11 else seconds
    except ValueError:
        return datetime.datetime.fromisoformat(str(value)).timestamp()


def lines_since(folder: Path, begin: float) -> Iterator[dict]:
    """Lines of an access log since `begin`, including rotated files."""
    for path in folder.glob("access.log*"):
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


def look_at_disks(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """Free space and free inodes of the file systems that applications, logs and the system write to."""
    seen = set()
    for path in (Path("/"), *(WRITTEN / name for name in ("log", "lib", "tmp")), *(WRITTEN / "lib" / app for app in config["sites"])):
        if not path.exists() or path.stat().st_dev in seen:
            continue
        seen.add(path.stat().st_dev)
        disk = os.statvfs(path)
        for what, free, size in (("space", disk.f_bavail, disk.f_blocks), ("inodes", disk.f_favail, disk.f_files)):
            left = free * 100 / size if size else 100  # a file system such as btrfs has no limit of inodes
            measured.append(("disk_free_ratio", {"path": str(path), "of": what}, left / 100))
            for severity in ("critical", "warning"):
                if left < config["disk"][f"{severity}_percent"]:
                    yield f"disk{path}/{what}".replace("//", "/"), severity, f"{path} has {left:.0f} % of its {what} left; see: du -xh --max-depth=2 {path}"
                    break


def look_at_deliveries(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """Channels that could not deliver for a while; the others report it."""
    waiting = [entry for _unused, entry in spooled()]
    for channel in config["channels"]:
        oldest = min([entry["created"] for entry in waiting if entry["channel"] == channel], default=time.time())
        measured.append(("spooled_messages", {"channel": channel}, sum(entry["channel"] == channel for entry in waiting)))
        if time.time() - oldest > LATE_SECONDS:
            yield f"channel/{channel}", "warning", f"no {channel} was delivered since {utc(oldest)}; see: journalctl -t alarm-channel"


LOOKS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "audits": (look_at_audits, ("audit/",)), "certificates": (look_at_certificates, ("certificate/",)),
    "units": (look_at_units, ("unit/", "crash-loop/")), "responses": (look_at_responses, ("errors/",)),
    "disks": (look_at_disks, ("disk/",)), "deliveries": (look_at_deliveries, ("channel/",))}


def look(config: dict, state: dict, measured: list) -> dict:
    """All current alerts. A check that fails is an alert itself and resolves nothing."""
    alerts = {key: alert for key, alert in state["alerts"].items() if key.startswith("sent/")}
    for name, (function, prefixes) in LOOKS.items():
        try:
            alerts |= {one_line(key, 200): {"severity": severity, "text": one_line(text)}
                       for key, severity, text in function(config, state, measured)}
        except Exception as error:  # pylint: disable=broad-exception-caught
            alerts |= {key: alert for key, alert in state["alerts"].items() if key.startswith(prefixes)}
            alerts[f"check/{name}"] = {"severity": "warning", "text": one_line(f"{name} could not be checked: {type(error).__name__}: {error}")}
    return alerts


# --- announcements: when an alert begins, becomes more severe, and ends


def differences(before: dict, now: dict) -> list[dict]:
    """Events between two checks. An alert that continues keeps its begin."""
    events = []
    for key, alert in now.items():
        old = before.get(key)
        alert["since"] = old["since"] if old else utc(time.time())
        if old is None or SEVERITIES.index(alert["severity"]) > SEVERITIES.index(old["severity"]):
            events.append({"event": "raised", "key": key, **alert})
    return events + [{"event": "resolved", "key": key, **alert} for key, alert in before.items() if key not in now]


def announce(config: dict, state: dict, alerts: dict) -> None:
    """Write events to the journal and one message per channel to the spool."""
    events = differences(state["alerts"], alerts)
    for event in events:
        priority = PRIORITY[event["severity"]] if event["event"] == "raised" else syslog.LOG_NOTICE
        say(priority, f"{event['event']}: {event['key']}: {event['text']}")
    for start in range(0, len(events), EVENTS_MAX):
        message = {"host": config["host"], "time": utc(time.time()), "events": events[start:start + EVENTS_MAX]}
        for channel in config["channels"]:
            spool(channel, message)
    # Saved last: after an interruption an alert is announced twice rather than never.
    state["alerts"] = alerts
    state["dropped"] += trim()
    write_state(state)


def spool(channel: str, message: dict) -> None:
    """Write a message to the spool."""
    name = f"{time.time_ns()}-{secrets.token_hex(4)}"
    entry = {"id": name, "channel": channel, "created": time.time(), "attempts": 0, "next": 0, "message": message}
    write(STATE / "spool" / f"{name}.json", json.dumps(entry), 0o600)


def spooled() -> list[tuple[Path, dict]]:
    """Waiting messages, oldest first. A damaged file is removed and reported."""
    messages = []
    for path in sorted((STATE / "spool").glob("[!.]*.json")):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            messages.append((path, {name: entry[name] for name in ("id", "channel", "created", "attempts", "next", "message")}))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError) as error:
            say(syslog.LOG_ERR, f"{path.name} in the spool is damaged and was removed: {error}")
            path.unlink(missing_ok=True)
    return messages


def trim() -> int:
    """Keep the spool within its limits. Returns the number of discarded messages."""
    waiting, discarded = spooled(), 0
    for number, (path, entry) in enumerate(waiting):
        reason = "the spool is full" if len(waiting) - number > SPOOL_MAX else \
            f"it could not be delivered for {SPOOL_DAYS} days" if time.time() - entry["created"] > SPOOL_DAYS * 86400 else ""
        if reason:
            discarded += 1
            keys = ", ".join(f"{event['event']} {event['key']}" for event in entry["message"]["events"])
            say(syslog.LOG_ERR, f"discarded a message for {entry['channel']}, because {reason}: {keys}")
            path.unlink(missing_ok=True)
    return discarded


# --- metrics


HELP = {
    "alert": "A current alert.",
    "audit_state": "Result of the last audit of an application's packages: 1 for the current state, 0 for the others.",
    "audit_timestamp_seconds": "Time of the last audit.",
    "audit_findings": "Known vulnerabilities in the live release.",
    "certificate_not_before_seconds": "Start of the validity of the served certificate.",
    "certificate_not_after_seconds": "End of the validity of the served certificate.",
    "http_responses": "Responses within errors_minutes.",
    "http_5xx_responses": "5xx responses within errors_minutes.",
    "disk_free_ratio": "Free share of a file system's space or inodes.",
    "spooled_messages": "Messages waiting for delivery.",
    "dropped_messages": "Discarded messages.",
    "last_check_timestamp_seconds": "Time of the last check.",
}


def metrics(state: dict, measured: list) -> str:
    """The metrics in the format of node_exporter's textfile collector."""
    measured = measured + [("alert", {"key": key, "severity": alert["severity"]}, 1) for key, alert in state["alerts"].items()]
    measured += [("dropped_messages", {}, state["dropped"]), ("last_check_timestamp_seconds", {}, time.time())]
    lines = []
    for name, text in HELP.items():
        lines += [f"# HELP flask_host_{name} {text}", f"# TYPE flask_host_{name} gauge"]
        for _unused, labels, value in [sample for sample in measured if sample[0] == name]:
            shown = ",".join('{}="{}"'.format(label, str(text).replace("\\", "\\\\").replace('"', '\\"')) for label, text in labels.items())
            lines.append(f"flask_host_{name}{{{shown}}} {value}" if shown else f"flask_host_{name} {value}")
    return "\n".join(lines) + "\n"


# --- delivery


def as_mail(channel: dict, entry: dict) -> email.message.EmailMessage:
    """A message as mail."""
    message, events = entry["message"], entry["message"]["events"]
    raised = [event for event in events if event["event"] == "raised"]
    head = raised[0] if raised else events[0]
    more = f" (and {len(events) - 1} more)" if len(events) > 1 else ""
    mail = email.message.EmailMessage()
    word = head["severity"] if raised else "resolved"
    mail["Subject"] = one_line(f"[{message['host']}] {word}: {head['text']}", 160) + more
    mail["From"], mail["To"] = channel["from"], ", ".join(channel["to"])
    mail["Date"] = email.utils.formatdate(entry["created"])
    # The same for every attempt, so that a duplicate can be recognised.
    mail["Message-ID"] = f"<{entry['id']}@{ACCOUNT}.{re.sub(r'[^A-Za-z0-9.-]', '-', message['host'])}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n".join(
        f"{event['event'].upper()} ({event['severity']}, since {event['since']})\n{event['text']}\n{event['key']}" for event in events) + "\n",
        cte="quoted-printable")
    return mail


def deliver_mail(channel: dict, entry: dict, trust: ssl.SSLContext) -> None:
    """Send mail to the server, which may be the host's own mail system."""
    where = (channel["server"], channel["port"])
    with smtplib.SMTP_SSL(*where, timeout=TIMEOUT, context=trust) if channel["security"] == "tls" else smtplib.SMTP(*where, timeout=TIMEOUT) as server:
        if channel["security"] == "starttls":
            server.starttls(context=trust)
        if channel["username"]:
            server.login(channel["username"], channel["password"])
        if refused := server.send_message(as_mail(channel, entry), channel["from"], channel["to"]):
            raise Undeliverable(f"the server refused {', '.join(refused)}")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error, because it would send the secret to another address."""

    def redirect_request(self, *_unused: object) -> None:
        """Not followed."""


def deliver_webhook(channel: dict, entry: dict, trust: ssl.SSLContext) -> None:
    """POST JSON. Any response but 2xx is a failure."""
    headers = {"Content-Type": "application/json", "User-Agent": ACCOUNT, "Idempotency-Key": entry["id"]}
    if channel["secret"]:
        headers[channel["header"]] = channel["secret"]
    request = urllib.request.Request(channel["url"], json.dumps({"id": entry["id"], **entry["message"]}).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect, urllib.request.HTTPSHandler(context=trust))
    with opener.open(request, timeout=TIMEOUT):
        pass


DELIVERIES = {"mail": deliver_mail, "webhook": deliver_webhook}


def without_secrets(text: str, channel: dict) -> str:
    """An error message without the secrets that it may repeat."""
    for name in ("password", "secret", "url"):
        if channel.get(name):
            text = text.replace(channel[name], "***")
    return text


def deliver() -> int:
    """Deliver every message that is due. After a failure a channel waits for the next run."""
    channels = json.loads((Path(os.environ["CREDENTIALS_DIRECTORY"]) / "channels.json").read_text(encoding="utf-8"))
    trust = ssl.create_default_context(cafile=channels["ca_bundle"])
    resting: set[str] = set()
    with locked("deliver"):
        for path, entry in spooled():
            name, channel = entry["channel"], channels.get(entry["channel"])
            if name in resting or entry["next"] > time.time():
                continue
            try:
                if not channel:
                    raise Undeliverable("it is no longer configured")
                DELIVERIES[name](channel, entry, trust)
            except Exception as error:  # pylint: disable=broad-exception-caught
                resting.add(name)
                wait = min(FIRST_RETRY_SECONDS * 2 ** entry["attempts"], LAST_RETRY_SECONDS)
                write(path, json.dumps({**entry, "attempts": entry["attempts"] + 1, "next": time.time() + wait}), 0o600)
                reason = without_secrets(f"{type(error).__name__}: {error}", channel or {})
                say(syslog.LOG_WARNING, f"{name} was not delivered (attempt {entry['attempts'] + 1}, again in {wait} seconds): {reason}")
            else:
                path.unlink(missing_ok=True)
                say(syslog.LOG_NOTICE, f"{name} was delivered: " + ", ".join(f"{e['event']} {e['key']}" for e in entry["message"]["events"]))
    return 0


# --- commands


def check(config: dict) -> int:
    """Run all checks."""
    measured: list = []
    with locked("state"):
        state = read_state()
        announce(config, state, look(config, state, measured))
        write(STATE / "metrics.prom", metrics(state, measured), 0o644)
    return 0


def send(config: dict, given: argparse.Namespace) -> int:
    """Raise or resolve an alert of another program."""
    with locked("state"):
        state = read_state()
        alerts, key = dict(state["alerts"]), f"sent/{given.key}"
        if given.resolved:
            alerts.pop(key, None)
        elif key not in alerts and sum(name.startswith("sent/") for name in alerts) >= SENT_MAX:
            print(f"alarm-channel: {SENT_MAX} alerts were raised by `send` already; resolve some", file=sys.stderr)
            return 1
        else:
            alerts[key] = {"severity": given.severity, "text": one_line(given.text)}
        announce(config, state, alerts)
    return 0


def status() -> int:
    """Print current alerts and waiting messages."""
    for key, alert in read_state()["alerts"].items():
        print(f"{alert['severity']:8} since {alert['since']}  {key}  {alert['text']}")
    for _unused, entry in spooled():
        print(f"waiting  since {utc(entry['created'])}  {entry['channel']}, {entry['attempts']} attempts")
    return 0


def key_of(text: str) -> str:
    """The key of an alert."""
    if not re.fullmatch(r"[A-Za-z0-9][\w./@:-]{0,99}", text):
        raise argparse.ArgumentTypeError("not a key: letters, digits and . _ / @ : -, 100 at most")
    return text


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="alarm-channel", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "deliver", "status"):
        commands.add_parser(name)
    sending = commands.add_parser("send")
    sending.add_argument("key", type=key_of)
    what = sending.add_mutually_exclusive_group(required=True)
    what.add_argument("text", nargs="?")
    what.add_argument("--resolved", action="store_true")
    sending.add_argument("--severity", choices=SEVERITIES, default="critical")
    given = parser.parse_args()
    if os.geteuid() == 0 and given.command in ("send", "status"):
        os.execv("/usr/sbin/runuser", ["runuser", "-u", ACCOUNT, "--", os.path.abspath(__file__), *sys.argv[1:]])
    syslog.openlog(ACCOUNT, 0, syslog.LOG_DAEMON)
    config = read_config()
    return {"check": lambda: check(config), "deliver": deliver, "status": status, "send": lambda: send(config, given)}[given.command]()


if __name__ == "__main__":
    sys.exit(main())
