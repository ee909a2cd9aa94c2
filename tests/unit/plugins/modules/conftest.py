"""Run file_set and host_part in this process."""

from __future__ import annotations

import base64
import json
import signal
import zlib
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulwark.flask.plugins.modules import file_set
from ansible_collections.bulwark.flask.tests.unit.file_trees import ME


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A directory to write in."""
    path = tmp_path / "etc"
    path.mkdir()
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the module keeps its journal."""
    return tmp_path / "state"


@pytest.fixture
def write(state: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run a module on a set; returns its result, with `raw` as it was printed."""

    def run(files: list[dict[str, Any]], check: bool = False, diff: bool = False, module: Any = file_set, **options: Any) -> dict[str, Any]:
        sent, contents = [], []
        for entry in files:
            entry = {**ME, "mode": "0755" if entry.get("state") == "directory" else "0644", **entry}
            content = entry.pop("content", None)
            contents.append(None if content is None else base64.b64encode(content.encode()).decode())
            sent.append({**entry, "dest": str(entry["dest"])})
        packed = base64.b64encode(zlib.compress(json.dumps(contents).encode())).decode()
        arguments = {"files": sent, "_contents": packed, "state_dir": str(state), **options,
                     "_ansible_check_mode": check, "_ansible_diff": diff}
        if "inject_invocation" in PASS_VARS:  # where the invocation is returned only on request
            arguments["_ansible_inject_invocation"] = True
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
        try:
            with patch_module_args(arguments), pytest.raises(SystemExit):
                module.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        raw = capsys.readouterr().out
        return {**json.loads(raw), "raw": raw}

    return run
