"""Logs are limited, lose no line in a rotation, survive a restart, and are private."""

from __future__ import annotations

import time
from typing import Any

import pytest
from host.plugin import Site
from logged import CURSOR, ENTRIES, ROTATION, mark, tell

# More rotations than files are kept.
MANY = r'''
import time
for _ in range(8):
    with open("/var/log/nginx/%s/access.log" % GIVEN["app"], "a") as stream:
        stream.write("{}\n")
    subprocess.run(["logrotate", "--force", "--state", "/run/logrotate-test", "/etc/logrotate.d/nginx-" + GIVEN["app"]], check=True)
    time.sleep(1.1)
print(json.dumps(glob.glob("/var/log/nginx/%s/access.log*" % GIVEN["app"])))
'''
# A log beyond its size, looked at without force, as the timer does.
SIZE = r'''
path = "/var/log/nginx/%s/access.log" % GIVEN["app"]
before = os.stat(path).st_ino
with open(path, "ab") as stream:
    stream.write((b'{"padding": "' + b"x" * 1000 + b'"}\n') * 1100)
done = subprocess.run(["logrotate", "--state", "/run/logrotate-size", "/etc/logrotate.d/nginx-" + GIVEN["app"]])
print(json.dumps({"rotated": os.stat(path).st_ino != before, "next": output("systemctl", "show", "logrotate.timer",
                  "--property=TimersCalendar").decode()}))
'''
USAGE = r'''
folder = "/var/log/journal/%s.%s" % (open("/etc/machine-id").read().strip(), GIVEN["app"])
print(json.dumps(sum(os.stat(path).st_blocks * 512 for path in glob.glob(folder + "/*"))))
'''
RESTART = r'''
output("systemctl", "restart", "systemd-journald@%s.service" % GIVEN["app"])
print(json.dumps({"volatile": glob.glob("/run/log/journal/*." + GIVEN["app"]),
                  "found": GIVEN["word"] in output("journalctl", "--namespace=" + GIVEN["app"], "--output=cat", "--all").decode()}))
'''
# Access to logs: as the account nobody, and as a member of each group.
READERS = r'''
import grp, pwd
app, found = GIVEN["app"], {}
journal = "/var/log/journal/%s.%s" % (open("/etc/machine-id").read().strip(), app)
files = [path for folder in (journal, "/var/log/nginx/" + app, "/var/lib/private/flask-logs-" + app)
         for path in glob.glob(folder + "/*")]
for who in ("nobody", app, "www-data", "adm", "systemd-journal"):
    user = who if who in ("nobody", app, "www-data") else "nobody"
    groups = [] if who == user else [grp.getgrnam(who).gr_gid]
    def become(user=pwd.getpwnam(user), groups=groups):
        os.setgroups(groups); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
    readable = [path for path in files
                if subprocess.run(["cat", path], preexec_fn=become, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0]
    lines = subprocess.run(["journalctl", "--namespace=" + app, "--output=cat", "--lines=5"], preexec_fn=become,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    found[who] = {"journal": b"message" in lines, "files": sorted({os.path.dirname(path) for path in readable})}
print(json.dumps({"found": found, "kinds": sorted({os.path.dirname(path) for path in files})}))
'''
# Journal sockets of other applications, as seen by the application's process.
SOCKETS = r'''
unit = live(GIVEN["app"])[1]
root = "/proc/%s/root/run/systemd" % properties(unit, "MainPID")["MainPID"]
print(json.dumps(sorted(os.listdir(root))))
'''


def test_no_line_is_lost_or_doubled_while_logs_are_rotated(site: Any) -> None:
    count = 2000
    found = site.ask(ROTATION, word=mark(), count=count, domain=site.domain)
    assert found["failed"] == [] and found["rotations"] >= 4
    assert found["seen"] == list(range(count))
    assert found["holding"] >= 2, "the web server writes to the new file"
    assert found["modes"] == ["www-data:adm 0640"]
    assert any(name.endswith(".gz") for name in found["files"]), "older ones are compressed"


@pytest.mark.where(lambda site: site.name == "notes")
def test_no_more_rotated_files_are_kept_than_configured(site: Any) -> None:
    assert len(site.ask(MANY)) == 1 + 5, "nginx_days is 5 here"


@pytest.mark.where(lambda site: site.name == "notes")
def test_a_log_beyond_its_size_is_rotated_within_minutes(site: Any) -> None:
    found = site.ask(SIZE)
    assert found["rotated"], "nginx_max_mb is 1 here"
    assert "*:00/10:00" in found["next"]


def test_a_flood_of_lines_does_not_fill_the_disk_or_displace_lines_of_others(server: Any, request: Any) -> None:
    notes, shop = (Site(server, app) for name in ("notes", "shop") for app in server.target.apps if app.name == name)
    word = mark()
    cursors = {"shop": shop.ask(CURSOR)}
    tell(shop, "log", word.encode())
    for _ in range(10):
        assert tell(notes, "flood/2000/2500", b"x").status == 200
    assert notes.ask(USAGE) <= 16 << 20, "50 MB were said, journal_max_mb is 16 here"
    tell(shop, "log", word.encode())
    assert len([entry for entry in shop.ask(ENTRIES, cursor=cursors["shop"]) if word in entry["MESSAGE"]]) == 2
    cursor, last = notes.ask(CURSOR), mark()
    tell(notes, "log", last.encode())
    assert last in notes.ask(ENTRIES, cursor=cursor)[-1]["MESSAGE"], "its newest lines are the ones kept"


@pytest.mark.where(lambda site: site.name == "shop")
def test_a_burst_is_kept_and_dropped_lines_are_counted(site: Any) -> None:
    # It counts for 30 seconds; one that has just started has counted nothing.
    site.ask(RESTART, word="")
    cursor, word = site.ask(CURSOR), mark()
    tell(site, "flood/1000/10", word.encode())
    assert len([entry for entry in site.ask(ENTRIES, cursor=cursor) if word in entry["MESSAGE"]]) == 1000
    for _ in range(4):
        tell(site, "flood/2500/10", word.encode())
    kept = len([entry for entry in site.ask(ENTRIES, cursor=cursor) if word in entry["MESSAGE"]])
    assert 1000 <= kept < 11000, "journal_burst_lines is 1000 here; systemd grants more on a large disk"
    error = mark()
    tell(site, "log", error.encode())
    assert error in site.ask(ENTRIES, cursor=cursor)[-1]["MESSAGE"], "each priority is counted by itself"
    time.sleep(31)
    tell(site, "flood/1/10", b"after")
    messages = [entry["MESSAGE"] for entry in site.ask(ENTRIES, cursor=cursor)]
    dropped = [int(message.split()[1]) for message in messages if message.startswith("Suppressed ")]
    assert sum(dropped) == 11000 - kept


def test_lines_and_streams_survive_a_restart_of_the_journal(site: Any) -> None:
    before, after = mark(), mark()
    tell(site, "log", before.encode())
    site.ask(CURSOR)
    assert site.ask(RESTART, word=before) == {"volatile": [], "found": True}
    cursor = site.ask(CURSOR)
    tell(site, "log", after.encode())
    assert any(after in entry["MESSAGE"] for entry in site.ask(ENTRIES, cursor=cursor))


def test_only_root_and_the_log_groups_can_read_logs(site: Any) -> None:
    answer = site.ask(READERS)
    found, (journal, nginx) = answer["found"], [kind for kind in answer["kinds"] if "/private/" not in kind]
    assert len(answer["kinds"]) == (3 if site.name == "shop" else 2)
    for account in ("nobody", site.name):
        assert found[account] == {"journal": False, "files": []}
    assert found["www-data"] == {"journal": False, "files": [nginx]}
    assert found["adm"] == {"journal": True, "files": [journal, nginx]}
    assert found["systemd-journal"] == {"journal": True, "files": [journal]}


def test_an_application_cannot_write_to_the_journal_of_another_one(site: Any) -> None:
    assert {name for name in site.ask(SOCKETS) if name != "incoming"} == {"journal", "notify"}
