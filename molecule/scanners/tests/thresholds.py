"""The thresholds, one row each, with the method. They are not lowered to fit a result."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from scanners import Scanners

# testssl.sh's findings about the test CA: Let's Encrypt has a list of what was revoked.
TEST_CA = {"cert_revocation"}
# What sslyze says of it: Let's Encrypt signs a certificate for an ECDSA key with ECDSA.
SIGNED_BY_RSA = "certificate_signatures: Deployed certificate signatures are {'sha256WithRSAEncryption'}"
# What gixy cannot know: that the role leaves X25519MLKEM768 out where OpenSSL does not have it, that the unit says how many
# files a worker may open, and that the catch-all is the default of port 443 as the first that is read.
GIXY_UNKNOWN = {"ssl_ecdh_curve", "worker_rlimit_nofile_vs_connections", "default_server_flag"}


@dataclass(frozen=True)
class Reading:
    """The result of a tool, and whether it reaches the threshold."""

    text: str
    reached: bool


@dataclass(frozen=True)
class Threshold:
    """One row of the table."""

    tool: str
    threshold: str
    read: Callable[[Scanners], Reading]
    # Why it is not reached yet; it is in the table, and a threshold that is reached all the same has it no more.
    open: str = ""

    def __str__(self) -> str:
        return self.tool


def rating(s: Scanners) -> Reading:
    grade, score = s.finding("overall_grade"), int(s.finding("final_score"))
    return Reading(f"{grade}, {score}", grade == "A+" and score >= 96)


def findings(s: Scanners) -> Reading:
    bad = [f"{f['id']} ({f['severity']}): {f['finding']}" for f in s.testssl
           if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL") and f["id"].split(" ")[0] not in TEST_CA]
    return Reading("; ".join(bad) or "none", not bad)


def mozilla(app: str, profile: str) -> Callable[[Scanners], Reading]:
    def read(s: Scanners) -> Reading:
        output = s.sslyze(app, profile)
        reasons = [line.strip(" *") for line in output.splitlines() if line.strip().startswith("*")]
        bad = [reason for reason in reasons if not reason.startswith(SIGNED_BY_RSA)]
        if "OK - Compliant" in output:
            return Reading("compliant", True)
        if reasons and not bad:
            return Reading("compliant but for the signature of the test CA, which is RSA", True)
        return Reading("; ".join(bad)[:400] or output[:400], False)
    return read


def observatory(app: str, least: int, grade: str = "") -> Callable[[Scanners], Reading]:
    def read(s: Scanners) -> Reading:
        scan = s.observatory(app)
        if "error" in scan:
            return Reading(f"no answer: {scan['error']}", False)
        lost = [f"{name} {test['scoreModifier']}" for name, test in scan["tests"].items() if (test["scoreModifier"] or 0) < 0]
        text = f"{scan['scan']['grade']}, {scan['scan']['score']}" + (f" ({', '.join(lost)})" if lost else "")
        return Reading(text, scan["scan"]["score"] >= least and scan["scan"]["grade"].startswith(grade))
    return read


def exposure(most: float, *units: str) -> Callable[[Scanners], Reading]:
    def read(s: Scanners) -> Reading:
        found = {unit: s.exposure(s.instance(unit[4:]) if unit.startswith("app:") else unit) for unit in units}
        text = ", ".join(f"{unit.removeprefix('app:')} {value}" if len(found) > 1 else str(value) for unit, value in found.items())
        return Reading(text, max(found.values()) <= most)
    return read


def lynis(s: Scanners) -> Reading:
    index = int(s.lynis["hardening_index"][0])
    tests = sorted({line.split("|")[0] for line in s.lynis.get("suggestion", []) + s.lynis.get("warning", [])})
    return Reading(f"{index} (left: {', '.join(tests)})", index >= 85)


def ssh_audit(s: Scanners) -> Reading:
    failed = [f"{kind} {entry['algorithm']}: {', '.join(entry['notes']['fail'])}" for kind in ("kex", "key", "enc", "mac")
              for entry in s.ssh_audit[kind] if entry.get("notes", {}).get("fail")]
    # The others are advice that holds for every server.
    failed += [note for note in s.ssh_audit["additional_notes"] if "throttling" in note]
    return Reading("; ".join(failed) or "no fail", not failed)


def ssh_warnings(s: Scanners) -> Reading:
    warned = {entry["algorithm"] for kind in ("kex", "key", "enc", "mac") for entry in s.ssh_audit[kind] if entry.get("notes", {}).get("warn")}
    others = {name for name in warned if not name.startswith(("curve25519", "diffie-hellman-group1"))}
    return Reading(", ".join(sorted(warned)) or "none", not others)


def gixy(s: Scanners) -> Reading:
    severities = {issue["plugin"]: issue["severity"] for issue in s.gixy if issue["severity"] in ("LOW", "MEDIUM", "HIGH")}
    found = sorted(f"{plugin} ({severity})" for plugin, severity in severities.items() if plugin not in GIXY_UNKNOWN)
    without = ", ".join(sorted(severities.keys() & GIXY_UNKNOWN))
    return Reading((", ".join(found) or "none") + (f"; what it cannot know left out: {without}" if without else ""), not found)


def wapiti(s: Scanners) -> Reading:
    """It finds nothing, too, where nothing answers or everything is turned away."""
    report, statuses = s.wapiti, s.wapiti["statuses"]
    pages, asked = report["infos"]["crawled_pages_nbr"], sum(statuses.values())
    found = sorted({f"{kind}: {entry['method']} {entry['path']}" for part in ("vulnerabilities", "anomalies")
                    for kind, entries in report[part].items() for entry in entries})
    text = "; ".join(found) or f"none ({asked} requests to {pages} pages and forms)"
    met = pages >= 5 and statuses.get("200", 0) >= 4 and statuses.get("422", 0) >= 50 and "429" not in statuses
    return Reading(text if met else f"{text}; it did not meet the application: {statuses}, {pages} pages", met and not found)


def ports(s: Scanners) -> Reading:
    return Reading(", ".join(map(str, s.open_ports)), s.open_ports == [22, 80, 443])


def slow(mode: str) -> Callable[[Scanners], Reading]:
    """4,000 slow clients from one address; a second one, from another, is measured meanwhile."""
    def read(s: Scanners) -> Reading:
        took = []
        with s.slow_clients(mode, "shop") as look:
            for number in range(120):
                took.append(ask(s))
                if number % 10 == 0:
                    look()
                time.sleep(0.15)
        served = [seconds for seconds in took if seconds is not None]
        return Reading(f"{len(served)} of {len(took)} served, p99 {worst(took):.0f} ms ({s.slow_log})", len(served) == len(took))
    return read


def worst(took: list[float | None]) -> float:
    """The 99th percentile, in milliseconds."""
    served = [seconds for seconds in took if seconds is not None]
    return statistics.quantiles(served, n=100)[98] * 1000 if len(served) > 1 else float("inf")


def ask(s: Scanners) -> float | None:
    """Seconds for one page on a connection of its own, or None when it was not served."""
    begun = time.monotonic()
    try:
        answer = s.server.outside.https(s.domains["shop"], "/healthz")
    except OSError:
        return None
    return time.monotonic() - begun if answer.status == 200 else None


# Attacker, client and host share one machine's processors, so the time is reported and not compared.
SERVED = "all served; p99 < 200 ms on a machine that has nothing else to do"

THRESHOLDS = [
    Threshold("testssl.sh, rating", "A+, ≥ 96", rating),
    Threshold("testssl.sh, findings above LOW", "none", findings),
    Threshold("sslyze, Mozilla intermediate (5.7 bundled)", "compliant", mozilla("shop", "intermediate")),
    Threshold("sslyze, Mozilla modern by choice (5.7 bundled)", "compliant", mozilla("widgets", "modern")),
    Threshold("HTTP Observatory, example", "A+, ≥ 130", observatory("shop", 130, "A+")),
    Threshold("HTTP Observatory, inline styles and a CDN script", "≥ 100", observatory("widgets", 100)),
    Threshold("systemd-analyze, application", "≤ 1.3", exposure(1.3, "app:shop")),
    Threshold("systemd-analyze, application, isolated", "≤ 0.4", exposure(0.4, "app:notes")),
    Threshold("systemd-analyze, nginx", "≤ 1.5", exposure(1.5, "nginx.service")),
    Threshold("systemd-analyze, certbot", "≤ 2", exposure(2, "acme-cert-renew@shop.service")),
    Threshold("systemd-analyze, audit", "≤ 2", exposure(2, "pip-audit-shop@1.service")),
    Threshold("systemd-analyze, session store", "≤ 2", exposure(2, "session-store@shop.service")),
    Threshold("lynis 3.1.4", "≥ 85", lynis),
    # Before ssh-audit, whose connections get its address banned from SSH.
    Threshold("nmap, all TCP ports", "22, 80, 443", ports),
    Threshold("ssh-audit, failures", "none", ssh_audit),
    Threshold("ssh-audit, warnings", "a classical key exchange alone", ssh_warnings),
    Threshold("gixy-next", "none above informational", gixy),
    Threshold("wapiti, the example", "none above informational", wapiti),
    Threshold("slowhttptest, 4,000 slow headers", SERVED, slow("H")),
    Threshold("slowhttptest, 4,000 slow bodies", SERVED, slow("B")),
]
