"""A run after an interrupted one revokes the replaced certificate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import Certificate
from ansible_collections.bulwark.flask.plugins.modules import acme_certificate


class Ended(Exception):
    """The module has said how it ended."""


class Module:
    """Ends as the real one does."""

    check_mode = False
    params = {"preflight": False, "certbot": "certbot", "revocation_reason": "keycompromise", "ca_bundle": "/bundle"}

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)

    def fail_json(self, **result: Any) -> None:
        raise Ended(result)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """One that certbot keeps; each that is issued has the next number."""
    made = Certificate("shop", tmp_path)
    made.live.mkdir(parents=True)
    (tmp_path / "var/lib/acme-cert").mkdir(parents=True)

    def issue(_: Any = None, __: Any = None) -> None:
        number = len(list(tmp_path.glob("cert*.pem"))) + 1
        (tmp_path / f"cert{number}.pem").write_text(f"{number}")
        (made.live / "cert.pem").unlink(missing_ok=True)
        (made.live / "cert.pem").symlink_to(tmp_path / f"cert{number}.pem")

    issue()
    monkeypatch.setattr(made, "kept", lambda: {"server": "https://ca.example.com", "account": "us"})
    monkeypatch.setattr(acme_certificate, "issue", issue)
    monkeypatch.setattr(acme_certificate, "serve_certificate", lambda *_: None)
    return made


def revoke(certificate: Certificate, monkeypatch: pytest.MonkeyPatch, rc: int = 0, message: str = "") -> tuple[list[str], dict[str, Any]]:
    """The certificates that were revoked at the CA, and the result of the run."""
    serials = []

    def confined(_: Any, *command: str) -> tuple[int, str, str]:
        serials.append(Path(command[command.index("--cert-path") + 1]).read_text())
        return rc, "", message

    monkeypatch.setattr(acme_certificate, "confined", confined)
    with pytest.raises(Ended) as ended:
        acme_certificate.revoked(Module(), certificate)
    return serials, ended.value.args[0]


def test_the_old_one_is_revoked_and_no_other(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    serials, result = revoke(certificate, monkeypatch)
    assert serials == ["1"] and result["changed"]
    assert certificate.marked_for_revocation() == []


def test_a_run_after_an_interrupted_one_revokes_the_replaced_certificate(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    _, result = revoke(certificate, monkeypatch, rc=1, message="the CA is down")
    assert "could not be revoked" in result["msg"]
    serials, _ = revoke(certificate, monkeypatch)
    assert serials == ["1", "2"]
    assert certificate.marked_for_revocation() == []


def test_one_that_is_revoked_already_is_done(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    serials, result = revoke(certificate, monkeypatch, rc=1, message="urn:ietf:params:acme:error:alreadyRevoked")
    assert serials == ["1"] and result["changed"]
    assert certificate.marked_for_revocation() == []


def test_another_certbot_that_does_not_end_is_named(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def confined(_: Any, *command: str) -> tuple[int, str, str]:
        asked.append(command)
        return acme_certificate.LOCKED, "", ""

    monkeypatch.setattr(acme_certificate, "confined", confined)
    with fs.locked(certificate.state / "lock"), pytest.raises(fs.Locked, match=rf"process {os.getpid()} \(.*/lock for more than 300 seconds"):
        acme_certificate.alone(Module(), certificate, "certbot")
    # A program that a hook starts does not keep the lock.
    assert "--close" in asked[0]
