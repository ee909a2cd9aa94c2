"""The scheduled audit of the live release's packages: three results, never mistaken for one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Run the audit as its own account; with `url`, under a name of its own that asks another service.
AUDIT = r'''
import shutil
app, name = GIVEN["app"], GIVEN["app"]
def run():
    done = subprocess.run(["runuser", "-u", "pip-audit", "--", "/usr/local/bin/pip-audit-app", name],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    state = "/var/lib/pip-audit/" + name
    report = json.load(open(state + "/report.json")) if os.path.exists(state + "/report.json") else None
    journal = output("journalctl", "--identifier=pip-audit-" + name, "--output=cat", "--no-pager", "--lines=1").decode()
    return {"rc": done.returncode, "report": report, "error": done.stderr.decode()[-500:], "journal": journal,
            "release": os.path.basename(os.path.realpath("/srv/%s/current/release" % app))}
if not GIVEN.get("url"):
    print(json.dumps(run()))
else:
    name = app + "-verify"
    settings = json.load(open("/etc/pip-audit/%s.json" % app))
    settings.update({"osv_url": GIVEN["url"], "state": "/var/lib/pip-audit/" + name})
    try:
        os.makedirs(settings["state"])
        shutil.chown(settings["state"], "pip-audit", "pip-audit")
        with open("/etc/pip-audit/%s.json" % name, "w") as stream:
            json.dump(settings, stream)
        print(json.dumps(run()))
    finally:
        shutil.rmtree(settings["state"], ignore_errors=True)
        if os.path.exists("/etc/pip-audit/%s.json" % name):
            os.unlink("/etc/pip-audit/%s.json" % name)
'''

SCHEDULE = r'''
import pwd
account = pwd.getpwnam("pip-audit")
path = "/etc/cron.d/pip-audit-" + GIVEN["app"]
lines = [line.split() for line in open(path) if re.match(r"[0-9]", line)]
print(json.dumps({"mode": mode(path), "lines": lines, "shell": account.pw_shell,
                  "cron": [output("systemctl", verb, "cron.service").decode().strip() for verb in ("is-enabled", "is-active")]}))
'''

RESULTS = {0: "clean", 1: "vulnerable", 2: "could not audit"}


@pytest.fixture
def audit(site: Any) -> Iterator[Callable[..., Any]]:
    """Audit this application now."""
    yield lambda url=None: site.ask(AUDIT, url=url)


def test_it_is_scheduled_as_an_account_of_its_own(site: Any, remember: Callable[..., Any]) -> None:
    schedule = remember(site, SCHEDULE)
    assert schedule["mode"] == "root:root 0644"
    assert len(schedule["lines"]) == 1
    assert schedule["lines"][0][5:8] == ["pip-audit", "/usr/local/bin/pip-audit-app", site.name]
    assert schedule["shell"].endswith(("nologin", "false"))
    assert schedule["cron"] == ["enabled", "active"]


def test_the_report_the_exit_status_and_the_journal_say_the_same(audit: Callable[..., Any]) -> None:
    done = audit()
    assert done["report"], done["error"]
    assert done["report"]["result"] == RESULTS[done["rc"]]
    assert f'"result": "{done["report"]["result"]}"' in done["journal"]
    assert done["report"]["release"] == done["release"], "it is not the live release that was audited"


@pytest.mark.intrusive
def test_seeded_findings_are_reported_as_vulnerable(audit: Callable[..., Any], osv_url: str) -> None:
    done = audit(osv_url.replace("MODE", "vulnerable"))
    assert done["rc"] == 1, done
    assert done["report"]["result"] == "vulnerable"
    assert done["report"]["findings"][0]["id"]


@pytest.mark.intrusive
def test_packages_without_findings_are_reported_as_clean(audit: Callable[..., Any], osv_url: str) -> None:
    done = audit(osv_url.replace("MODE", "clean"))
    assert done["rc"] == 0, done
    assert done["report"]["result"] == "clean"
    assert done["report"]["audited"] >= 5


@pytest.mark.intrusive
def test_a_service_that_cannot_be_asked_is_not_reported_as_clean(audit: Callable[..., Any]) -> None:
    done = audit("http://127.0.0.1:9/v1/query")
    assert done["rc"] == 2, done
    assert done["report"]["result"] == "could not audit"
    assert done["report"]["error"]
