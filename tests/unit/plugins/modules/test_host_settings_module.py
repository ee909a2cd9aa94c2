"""The module host_settings, where the host has something unexpected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulwark.flask.plugins.modules import host_settings


def test_a_damaged_record_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "former/settings.json"
    record.parent.mkdir()
    record.write_text("{")
    (tmp_path / "former/host.json").write_text("{}")
    monkeypatch.setattr(host_settings, "STATE_DIR", str(tmp_path))
    # The kernel's setting would be changed, and its former value recorded.
    monkeypatch.setattr(host_settings.host_settings, "settle", lambda *given: given[4]("/proc/sys/kernel/kptr_restrict", "0"))
    with patch_module_args({}), pytest.raises(SystemExit):
        host_settings.main()
    assert f"{record}: the file is damaged" in json.loads(capsys.readouterr().out)["msg"]
