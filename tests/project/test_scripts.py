"""Shell scripts that roles write on hosts pass shellcheck as they are rendered."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.tests.unit import support
from ansible_collections.bulwark.flask.tests.unit.checkout import ROLES

SCRIPTS = sorted(path for path in ROLES.glob("*/templates/**/*.j2") if path.read_text(encoding="utf-8").startswith(("#!/bin/sh", "#!/bin/bash")))


@pytest.mark.parametrize("template", SCRIPTS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_rendered_script_passes_shellcheck(template: Path, tmp_path: Path) -> None:
    role = template.relative_to(ROLES).parts[0]
    script = tmp_path / template.stem
    script.write_text(support.render(role, str(template.relative_to(ROLES / role / "templates"))), encoding="utf-8")
    result = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
