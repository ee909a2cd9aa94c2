"""Programs and words that the tests of logs share."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

# The fields every line has, in this order: docs/logs.md.
SCHEMA = ["time", "level", "source", "application", "request_id", "message"]

# The access log after a position, as whole lines; latin-1 keeps every byte.
ACCESS = r'''
import time
time.sleep(GIVEN.get("wait", 0.3))
with open("/var/log/nginx/%s/access.log" % GIVEN["app"], "rb") as stream:
    stream.seek(GIVEN["position"])
    print(json.dumps(stream.read().decode("latin-1")))
'''
POSITION = 'print(os.path.getsize("/var/log/nginx/%s/access.log" % GIVEN["app"]))'

# Entries of the application's journal behind a cursor, as the journal has them.
CURSOR = r'''
output("journalctl", "--namespace=" + GIVEN["app"], "--sync")
print(json.dumps(json.loads(output("journalctl", "--namespace=" + GIVEN["app"], "--output=json", "--lines=1"))["__CURSOR"]))
'''
ENTRIES = r'''
output("journalctl", "--namespace=" + GIVEN["app"], "--sync")
lines = output("journalctl", "--namespace=" + GIVEN["app"], "--output=json", "--all", "--after-cursor=" + GIVEN["cursor"])
print(json.dumps([{key: entry.get(key) for key in ("MESSAGE", "PRIORITY", "_TRANSPORT", "SYSLOG_IDENTIFIER")}
                  for entry in map(json.loads, lines.splitlines())]))
'''

# Where each of these words is: every file below /var/log that is no journal, every journal.
ANYWHERE = r'''
import time
time.sleep(1)
output("journalctl", "--namespace=*", "--sync")
streams = {"journal": output("journalctl", "--namespace=*", "--output=export", "--all", "--no-pager", "--since=-15min")}
for folder, folders, files in os.walk("/var/log"):
    if not folder.startswith("/var/log/journal"):
        for name in files:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                streams[path] = open(path, "rb").read()
print(json.dumps({mark: sorted(name for name, content in streams.items() if mark.encode() in content) for mark in GIVEN["marks"]}))
'''


def mark() -> str:
    """A word that is nowhere else."""
    return f"mark{secrets.token_hex(10)}"


def parsed(text: str) -> dict[str, Any]:
    """A line as an object, which begins with the schema."""
    entry = json.loads(text)
    assert list(entry)[:len(SCHEMA)] == SCHEMA, text[:300]
    return entry


def tell(site: Any, way: str, text: bytes) -> Any:
    """Have the application say this."""
    answer = site.get(f"/{way}", method="POST", body=base64.b64encode(text))
    assert answer.status == 200, answer
    return answer


# Requests by four clients at once while logrotate runs; then what all the files together hold.
ROTATION = r'''
import gzip, http.client, threading, time
app, word, count = GIVEN["app"], GIVEN["word"], GIVEN["count"]

def visit(first):
    connection = http.client.HTTPConnection("127.0.0.1")
    for number in range(first, count, 4):
        connection.request("GET", "/%s-%d." % (word, number), headers={"Host": GIVEN["domain"]})
        connection.getresponse().read()

clients = [threading.Thread(target=visit, args=(first,)) for first in range(4)]
[client.start() for client in clients]
rotations, failed = 0, []
while any(client.is_alive() for client in clients) or rotations < 4:
    done = subprocess.run(["logrotate", "--force", "--state", "/run/logrotate-test", "/etc/logrotate.d/nginx-" + app],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    rotations += 1
    failed += [done.stdout.decode()] if done.returncode else []
    time.sleep(1.1)
[client.join() for client in clients]
time.sleep(1)
seen, holding = [], 0
paths = glob.glob("/var/log/nginx/%s/access.log*" % app)
for path in paths:
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as stream:
        found = [int(number) for number in re.findall(('"path":"/%s-([0-9]+)[.]"' % word).encode(), stream.read())]
    seen += found
    holding += bool(found)
print(json.dumps({"seen": sorted(seen), "holding": holding, "rotations": rotations, "failed": failed, "files": sorted(map(os.path.basename, paths)),
                  "modes": sorted({mode(path) for path in paths})}))
'''
