"""The distribution of a host, for a role whose playbook gathers no facts."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.distributions import unsupported

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux {0}"\nNAME="Debian GNU/Linux"\nVERSION_ID="{0}"\nID=debian\n'


@pytest.mark.parametrize("text", [DEBIAN.format("12"), DEBIAN.format("13"), ""])
def test_a_supported_release_is_accepted(text: str, tmp_path: Path) -> None:
    assert unsupported(tmp_path / "none") == []
    (tmp_path / "os-release").write_text(text)
    assert unsupported(tmp_path / "os-release") == []


@pytest.mark.parametrize(("text", "name"), [
    (DEBIAN.format("11"), "Debian GNU/Linux 11"), ('PRETTY_NAME="Ubuntu 24.04 LTS"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', "Ubuntu 24.04 LTS"),
    ('PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n', "Debian GNU/Linux forky/sid")])
def test_another_distribution_is_named(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text(text)
    [problem] = unsupported(tmp_path / "os-release")
    assert f"this host runs {name}, which is not supported; use Debian 12 or 13" in problem
