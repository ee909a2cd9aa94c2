"""Pack the inspector into one zip that the interpreter of a release runs."""

from __future__ import annotations

import inspect
import io
import sys
import zipfile

from ansible_collections.bulwark.flask.plugins.module_utils import secret_key
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector import main

PACKAGE = main.__name__.rpartition(".")[0]
START = f"from {main.__name__} import main\n\nmain()\n"


def inspector_zip() -> bytes:
    """The inspector with every module that it imports, under the names that they have here."""
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith(PACKAGE + ".")] + [secret_key]
    files = {"__main__.py": START}
    for module in modules:
        path = module.__name__.replace(".", "/")
        if hasattr(module, "__path__"):
            continue  # a package, which is empty
        files[f"{path}.py"] = inspect.getsource(module)
        parts = path.split("/")[:-1]
        files.update({"/".join(parts[:depth]) + "/__init__.py": "" for depth in range(1, len(parts) + 1)})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return packed.getvalue()
