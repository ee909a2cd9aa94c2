"""The scheduled audit of the live release's packages: three results, never mistaken for one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# Ask for an audit as cron does; with `url`, let the program audit under a name of its own that asks another service.
AUDIT = r'''
import pwd, shutil
app, name = GIVEN["app"], GIVEN["app"]
program = next(line.split()[6] for line in open("/etc/cron.d/pip-audit-" + app) if re.match(r"[0-9]", line))
def run(*more):
    done = subprocess.run(["runuser", "-u", "pip-audit", "--", program, name, *more],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    path = "/var/lib/pip-audit/%s/report.json" % name
    report = json.load(open(path)) if os.path.exists(path) else None
    journal = output("journalctl", "--identifier=pip-audit-" + name, "--output=cat", "--no-pager", "--lines=1").decode()
    return {"rc": done.returncode, "report": report, "printed": (done.stdout + done.stderr).decode()[-500:],
            "journal": journal, "release": os.path.basename(os.path.realpath("/srv/%s/current/release" % app))}
if not GIVEN["url"]:
    print(json.dumps(run()))
else:
    name = app + "-verify"
    settings = json.load(open("/etc/pip-audit/%s.json" % app))
    settings.update({"service": "osv", "osv_url": GIVEN["url"], "ignores": []})
    state, config = "/var/lib/pip-audit/" + name, "/etc/pip-audit/%s.json" % name
    try:
        os.makedirs(state)
        shutil.chown(state, "pip-audit", "pip-audit")
        with open(config, "w") as stream:
            json.dump(settings, stream)
        print(json.dumps(run("--serve")))
    finally:
        if os.path.exists(config):
            os.unlink(config)
        if os.path.exists(state):
            shutil.rmtree(state)
'''

SCHEDULE = r'''
import pwd
account = pwd.getpwnam("pip-audit")
path = "/etc/cron.d/pip-audit-" + GIVEN["app"]
lines = [line.split() for line in open(path) if re.match(r"[0-9]", line)]
print(json.dumps({"mode": mode(path), "lines": lines, "shell": account.pw_shell,
                  "cron": [output("systemctl", verb, "cron.service").decode().strip() for verb in ("is-enabled", "is-active")]}))
'''

SANDBOX = r'''
text = output("systemd-analyze", "security", "--no-pager", "pip-audit-%s@verify.service" % GIVEN["app"]).decode()
print(json.dumps(float(re.search(r"exposure level.*: ([0-9.]+)", text).group(1))))
'''

RESULTS = {0: "clean", 1: "vulnerable", 2: "could-not-audit"}


@pytest.fixture
def audit(site: Any) -> Callable[..., Any]:
    """Audit this application now, at its own advisory service or at another."""
    return lambda url="": site.ask(AUDIT, url=url)


def test_it_is_scheduled_as_an_account_of_its_own(site: Any, remember: Callable[..., Any]) -> None:
    schedule = remember(site, SCHEDULE)
    assert schedule["mode"] == "root:root 0644"
    assert len(schedule["lines"]) == 1
    account, program, name = schedule["lines"][0][5:8]
    assert (account, name) == ("pip-audit", site.name)
    assert program.endswith("/pip-audit-app")
    assert schedule["shell"].endswith(("nologin", "false"))
    assert schedule["cron"] == ["enabled", "active"]


def test_the_audit_always_runs_in_its_sandbox(site: Any) -> None:
    assert site.ask(SANDBOX) <= 2.0


def test_the_report_the_exit_status_and_the_journal_say_the_same(audit: Callable[..., Any]) -> None:
    done = audit()
    assert done["report"], done["printed"]
    assert done["report"]["state"] == RESULTS[done["rc"]]
    assert done["journal"].startswith(done["report"]["state"].replace("-", " ") + ":"), done["journal"]
    assert done["report"]["release"] == done["release"], "it is not the live release that was audited"


@pytest.mark.intrusive
def test_seeded_findings_are_reported_as_vulnerable(audit: Callable[..., Any], osv_url: str) -> None:
    done = audit(osv_url.replace("MODE", "seeded"))
    assert done["report"], done["printed"]
    assert done["report"]["state"] == "vulnerable"
    assert {finding["package"] for finding in done["report"]["findings"]} & {"flask", "jinja2"}


@pytest.mark.intrusive
def test_packages_without_findings_are_reported_as_clean(audit: Callable[..., Any], osv_url: str) -> None:
    done = audit(osv_url.replace("MODE", "clean"))
    assert done["report"], done["printed"]
    assert done["report"]["state"] == "clean"
    assert done["report"]["counts"]["audited"] >= 5


@pytest.mark.intrusive
@pytest.mark.parametrize("mode", ["error", "garbage", "nonsense", "unreadable"])
def test_an_invalid_response_of_the_service_is_not_clean(audit: Callable[..., Any], osv_url: str, mode: str) -> None:
    done = audit(osv_url.replace("MODE", mode))
    assert done["report"], done["printed"]
    assert done["report"]["state"] == "could-not-audit"


@pytest.mark.intrusive
def test_a_service_that_cannot_be_reached_is_not_reported_as_clean(audit: Callable[..., Any]) -> None:
    done = audit("http://127.0.0.1:9/v1/query")
    assert done["report"], done["printed"]
    assert done["report"]["state"] == "could-not-audit"
    assert done["report"]["reason"]
