"""The state of generated secrets, and a playbook that rotates them."""

from __future__ import annotations

# Values of the file and the process, as digests, and the running instance.
STATE = r'''
import hashlib
def digest(data):
    return hashlib.sha256(data).hexdigest()
found = {}
for app in GIVEN["apps"]:
    instance, unit = live(app)
    with open("/etc/flask-secrets/%s.generated.env" % app, "rb") as stream:
        lines = [line.rstrip(b"\n").split(b"=", 1) for line in stream if not line.startswith(b"#")]
    held = environment(int(properties(unit, "MainPID")["MainPID"]))
    old = json.loads(held.get(b"FLASK_SECRET_KEY_FALLBACKS", b"[]"))
    found[app] = {"instance": instance,
                  "file": {name.decode(): digest(value.strip(b'"')) for name, value in lines if value[:1] == b'"'},
                  "process": {name.decode(): digest(held[name]) for name, value in lines if name in held},
                  "old": [digest(key.encode()) for key in old]}
nginx = properties("nginx.service", "MainPID", "NRestarts")
nginx["workers"] = sorted(processes("nginx.service"))
print(json.dumps({"apps": found, "nginx": nginx}))
'''

ROTATE = ("playbooks/rotate_secrets.yml", "-e", "app=notes")
