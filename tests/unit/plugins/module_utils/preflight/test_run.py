"""What the run of a deploy makes of an inspection that gives no answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.run import Inspection
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.units import Ran
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError


def test_an_inspection_that_takes_too_long_names_the_setting(tmp_path: Path) -> None:
    options = {"name": "search", "wsgi": "search:app", "policy": {}, "inspection_timeout_seconds": 40}
    inspection = Inspection(options, tmp_path, -1, lambda text: text)
    with pytest.raises(ReleaseError) as refused:
        inspection.read(Ran(15, "timeout", "", "loading the model\n"), lambda text: "")
    assert str(refused.value) == ("The inspection was ended after 40 s; most of it is the import of search:app. To allow more: "
                                  "app_release: {inspection_timeout_seconds: 200}\nThe application printed:\nloading the model")
