"""packages: alternatives, and what is removed."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulwark.flask.plugins.modules import packages


class Module:
    """Answers as the programs do."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    def run_command(self, command: list[str], **more: Any) -> tuple[int, str, str]:
        return 0, self.answers[command[-1]], ""


def test_one_of_two_is_enough_and_the_first_is_installed() -> None:
    assert packages.missing(["systemd-timesyncd | chrony", "nginx"], {"chrony"}) == ["nginx"]
    assert packages.missing(["systemd-timesyncd | chrony"], {"nginx"}) == ["systemd-timesyncd"]


def test_a_package_others_need_is_kept_and_named() -> None:
    module = Module({"rpcbind": "Remv nfs-common [1]\nRemv rpcbind [1]\n", "telnetd": "Remv telnetd [1]\n", "nis": "Remv nis\nRemv rpcbind\n"})
    assert packages.removable(module, ["rpcbind", "telnetd", "nis"]) == (
        ["telnetd", "nis"], ["rpcbind is unwanted and stays: nfs-common would have to go with it"])
