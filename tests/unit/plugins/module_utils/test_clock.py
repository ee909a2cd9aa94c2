"""A failure names a clock that is behind, and no other failure does."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import clock
from ansible_collections.bulwark.flask.plugins.module_utils.certificates import certbot
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import venvs
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import hints

NOW = 1_700_000_000.0
LATER = (NOW + 86_400 * 300, "/var/lib/dpkg/status")
APT = ("E: Release file for http://deb.debian.org/debian/dists/trixie/InRelease is not valid yet (invalid for another 3h 2min 20s). "
       "Updates for this repository will not be applied.")
SQV = "Sub-process /usr/bin/sqv returned an error code (1), error message is: Signing key on 4CB5 is not bound: Not live until 2026-11-01T00:00:00Z"
UNSIGNED = "E: The repository 'http://deb.debian.org/debian trixie InRelease' is not signed."
PIP = "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid (_ssl.c:1016)'))"


@pytest.mark.parametrize("output", [APT, SQV, UNSIGNED, PIP, "invalid peer certificate: NotValidYet"])
def test_a_clock_that_is_behind_is_named_with_the_time_and_what_is_newer(output: str) -> None:
    said = clock.behind(output, LATER, NOW)
    assert said.startswith("The clock of this host is behind: it shows 2023-11-14 22:13 UTC, and /var/lib/dpkg/status is of 2024-09-09")


@pytest.mark.parametrize("output", [SQV, UNSIGNED, "No space left on device", "CERTIFICATE_VERIFY_FAILED: self-signed certificate"])
def test_a_clock_that_is_right_is_not_named(output: str) -> None:
    assert clock.behind(output, (NOW - 5, "/etc/machine-id"), NOW) == ""


def test_what_apt_says_is_enough() -> None:
    assert clock.behind(APT, (NOW - 5, "/etc/machine-id"), NOW) == ("The clock of this host is behind: it shows 2023-11-14 22:13 UTC. Set it, for example "
                                                                   "with `date --utc --set='…'`, and run this again.")


def test_the_newest_time_that_the_host_has_seen(tmp_path: Path) -> None:
    (tmp_path / "written").write_text("")
    (tmp_path / "x_InRelease").write_text("Origin: Debian\nDate: Sat, 14 Nov 2099 10:00:00 UTC\n")
    assert clock.newest([str(tmp_path / "written"), "/no/such"], [f"{tmp_path}/*Release"]) == (4098333600, str(tmp_path / "x_InRelease"))


@pytest.mark.parametrize("explain", [venvs.explain, certbot.explain, hints.hint])
def test_every_program_that_downloads_names_it(explain: object) -> None:
    assert "The clock of this host is behind" in explain(PIP)  # type: ignore[operator]
