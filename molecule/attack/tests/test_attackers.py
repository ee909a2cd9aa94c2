"""The attackers reach the places from which they attack."""

from __future__ import annotations

from attackers import as_account, in_application
from host.plugin import Server

WHO = "print(json.dumps(__import__('pwd').getpwuid(os.getuid()).pw_name))"


def test_each_attacker_has_its_place(server: Server) -> None:
    assert in_application(server, WHO) == "hostile"
    assert as_account(server, WHO) == "mallory"
    assert as_account(server, WHO, account="www-data") == "www-data"
