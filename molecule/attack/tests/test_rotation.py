"""An application from which a key has leaked hides it from root: the rotation replaces it all the same."""

from __future__ import annotations

import hashlib

from attackers import in_application
from host.playbooks import Playbooks
from host.plugin import Server

# Code in a worker writes over the key in its own memory and in that of gunicorn's master.
OVERWRITE = r'''
def overwrite(pid):
    begin = int(Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[47])
    at = Path("/proc/%d/environ" % pid).read_bytes().index(b"FLASK_SECRET_KEY=") + len(b"FLASK_SECRET_KEY=")
    with open("/proc/%d/mem" % pid, "r+b", buffering=0) as memory:
        memory.seek(begin + at)
        memory.write(b"x" * 40)
    return Path("/proc/%d/environ" % pid).read_bytes()[at:at + 40] == b"x" * 40
print(json.dumps([tried(lambda pid=pid: overwrite(pid)) for pid in (os.getpid(), os.getppid())]))
'''
KEY = "print(json.dumps(os.environ['FLASK_SECRET_KEY']))"


def test_a_leaked_key_is_replaced_whatever_the_application_does_to_its_memory(server: Server, playbooks: Playbooks) -> None:
    leaked = in_application(server, KEY)
    assert True in in_application(server, OVERWRITE), "the attack did not reach a process"
    playbooks.good("rotate_secrets", "--limit", server.name, app="hostile", sign_everybody_out=True)
    held = in_application(server, KEY)
    assert held != leaked
    on_disk = server.host.check_output("sed -n 's/^FLASK_SECRET_KEY=\"\\(.*\\)\"$/\\1/p' /etc/flask-secrets/hostile.generated.env").strip()
    assert hashlib.sha256(held.encode()).digest() == hashlib.sha256(on_disk.encode()).digest(), "the live instance has another key than the file"
    assert "FALLBACKS" not in server.host.check_output("cut -d= -f1 /etc/flask-secrets/hostile.generated.env")
