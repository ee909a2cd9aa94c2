"""The release on disk: its origin, its owner, and the live instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

RELEASE = r'''
base = "/srv/" + GIVEN["app"]
instance, unit = live(GIVEN["app"])
release = os.path.realpath(base + "/current/release")
writable = []
for folder, folders, files in os.walk(release):
    for name in folders + files:
        found = os.lstat(os.path.join(folder, name))
        if not stat.S_ISLNK(found.st_mode) and (found.st_uid != 0 or found.st_mode & 0o022):
            writable.append(os.path.join(folder, name))
manifest = json.load(open(release + "/manifest.json"))
python = output(release + "/venv/bin/python", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])").decode().strip()
pid = properties(unit, "MainPID")["MainPID"]
print(json.dumps({
    "current": os.readlink(base + "/current"), "release_link": os.readlink(base + "/current/release"),
    "instance": instance, "release": os.path.basename(release), "manifest": manifest, "writable": writable[:10],
    "python": python, "releases": sorted(name for name in os.listdir(base + "/releases") if not name.startswith(".")),
    "modes": {path: mode(base + path) for path in ("", "/releases", "/instances")},
    "state": mode("/var/lib/" + GIVEN["app"]), "cwd": os.readlink("/proc/%s/cwd" % pid),
    "git": [path for path in glob.glob(release + "/src/.git")],
    "running": [line.split()[0] for line in output("systemctl", "list-units", "--plain", "--no-legend", "--state=active",
                "gunicorn-%s@*.service" % GIVEN["app"]).decode().splitlines()], "unit": unit}))
'''


@pytest.fixture
def release(site: Any, remember: Callable[..., Any]) -> Any:
    """The live release."""
    return remember(site, RELEASE)


def test_one_link_decides_which_instance_is_live(release: Any) -> None:
    assert release["current"] == f"instances/{release['instance']}"
    assert release["release_link"] == f"../../releases/{release['release']}"
    assert release["running"] == [release["unit"]], "exactly the live instance runs"


def test_the_process_runs_the_live_release(release: Any) -> None:
    assert f"/{release['release']}/" in release["cwd"] + "/"


def test_a_manifest_lists_the_contents_of_the_release(release: Any) -> None:
    manifest = release["manifest"]
    assert manifest
    assert all(manifest[key] not in (None, "") for key in manifest if key in ("id", "time", "python", "lock", "lock_hash"))
    assert release["python"] in str(manifest), "the interpreter's version is not recorded"


def test_only_root_can_change_the_release(release: Any) -> None:
    assert release["writable"] == []


def test_the_state_directory_belongs_to_the_application_only(site: Any, release: Any) -> None:
    assert release["state"] == f"{site.name}:{site.name} 0700"


def test_other_accounts_cannot_list_the_releases(release: Any) -> None:
    assert all(found.endswith(("0750", "0751", "0710", "0711")) for found in release["modes"].values()), release["modes"]


def test_old_releases_are_pruned(site: Any, release: Any) -> None:
    assert release["release"] in release["releases"]
    assert len(release["releases"]) <= site.app.release["keep_releases"] + 1
