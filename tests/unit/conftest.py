"""Load the collection from this checkout, so that tests import what Ansible would run. ansible-test has its own loader."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _link_collection() -> Path:
    """Make the checkout importable as `ansible_collections.bulwark.flask`."""
    collections = ROOT / ".ansible" / "collections"
    link = collections / "ansible_collections" / "bulwark" / "flask"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(ROOT, link.parent))
    return collections


if "ansible_pytest_collections" not in os.environ.get("PYTEST_PLUGINS", ""):
    # Before Ansible is imported, as it reads both once.
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(_link_collection())
    os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")

    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([os.environ["ANSIBLE_COLLECTIONS_PATH"]])
