"""The attackers reach the places from which they attack."""

from __future__ import annotations

from attackers import as_account, in_application
from host.plugin import Server

WHO = "print(json.dumps(__import__('pwd').getpwuid(os.getuid()).pw_name))"

# The accounts, groups, capabilities and restrictions of a process.
RIGHTS = r'''
def rights(pid):
    return {name: value.split() for name, _, value in (line.partition(":") for line in Path("/proc/%d/status" % pid).read_text().splitlines())
            if name.startswith(("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp"))}
print(json.dumps([IMPORTED_IN == os.getppid(), rights(os.getpid()), rights(os.getppid())]))
'''


def test_each_attacker_has_its_place(server: Server) -> None:
    assert in_application(server, WHO) == "hostile"
    assert as_account(server, WHO) == "mallory"
    assert as_account(server, WHO, account="www-data") == "www-data"


def test_code_in_gunicorns_master_has_the_rights_of_a_worker(server: Server) -> None:
    in_master, worker, master = in_application(server, RIGHTS)
    assert in_master, "the application was not imported in the master"
    assert master == worker
    assert {int(value[0], 16) for name, value in master.items() if name.startswith("Cap")} == {0}
    assert master["NoNewPrivs"] == ["1"] and master["Seccomp"] == ["2"] and "0" not in master["Uid"] + master["Gid"]
