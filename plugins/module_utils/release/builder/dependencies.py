"""Install a release's dependencies into its venv with uv, from the project's lock file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import sha256_of
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options

LOCKS = ["uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml"]
UNLOCKED = "without hashes: the same source can give other dependencies later; lock them (uv lock)"


class Plan(NamedTuple):
    """The file that lists the dependencies, and its properties."""

    file: str | None
    kind: str
    hashes: bool
    is_package: bool


def has_build_system(folder: Path) -> bool:
    """Whether the project has a build system, so that it is installed too."""
    path = folder / "pyproject.toml"
    return path.is_file() and bool(re.search(r"(?m)^\[build-system\]", path.read_text(errors="replace")))


def requirements_text(path: Path, root: Path, seen: frozenset[Path] = frozenset()) -> str:
    """A requirements file with the files it includes."""
    real = path.resolve()
    if real in seen or root.resolve() not in real.parents or not real.is_file():
        return ""
    text = real.read_text(errors="replace")
    included = re.findall(r"(?m)^\s*(?:-r|--requirement)[ =]\s*(\S+)", text)
    return text + "".join("\n" + requirements_text(path.parent / name, root, seen | {real}) for name in included)


def plan(folder: Path, wanted: str) -> Plan:
    """Select the file to install from; `wanted` is a file name or auto."""
    if wanted == "auto":
        file = next((name for name in LOCKS if (folder / name).is_file()), None)
        if file is None:
            raise ReleaseError("dependencies", f"The source lists no dependencies: none of {', '.join(LOCKS)} is "
                                               "there. Add one, or set subdirectory to where it is.")
    elif not (folder / wanted).is_file() or folder.resolve() not in (folder / wanted).resolve().parents:
        raise ReleaseError("dependencies", f"The source has no file {wanted}.")
    else:
        file = wanted
    name = Path(file).name
    kind = {"uv.lock": "uv.lock", "pyproject.toml": "pyproject"}.get(name, "requirements")
    if re.fullmatch(r"pylock(\.[^.]+)?\.toml", name):
        kind = "pylock"
    if kind == "uv.lock" and file != "uv.lock":
        raise ReleaseError("dependencies", "uv.lock must be beside pyproject.toml; set subdirectory to their directory.")
    hashes = kind in ("uv.lock", "pylock") or \
        (kind == "requirements" and "--hash=" in requirements_text(folder / file, folder))
    return Plan(file, kind, hashes, has_build_system(folder))


class Installer:
    """Creates a venv and installs packages; every command runs in the sandbox."""

    def __init__(self, sandbox: Sandbox, release: Path, folder: Path, options: Options, properties: list[str]) -> None:
        self.sandbox = sandbox
        self.release = release
        self.venv = release / "venv"
        self.folder = folder
        self.options = options
        self.properties = properties
        bundle, index = options.ca_bundle, options.index_url
        cache = sandbox.cache
        self.env = {
            "VIRTUAL_ENV": str(self.venv), "SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle, "CURL_CA_BUNDLE": bundle,
            "GIT_SSL_CAINFO": bundle, "GIT_TERMINAL_PROMPT": "0",
            "UV_CACHE_DIR": f"{cache}/uv", "UV_LINK_MODE": "copy", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never",
            "UV_PYTHON": options.python, "UV_PROJECT_ENVIRONMENT": str(self.venv), "UV_COMPILE_BYTECODE": "1",
        }
        if index:
            self.env["UV_DEFAULT_INDEX"] = index

    def run(self, argv: list[str], explain: str, step: str = "dependencies", check: bool = True) -> tuple[int, str]:
        """One command in the folder of the project."""
        return self.sandbox.run(argv, step=step, folder=self.folder, properties=self.properties, env=self.env,
                                check=check, explain=explain)

    def uv(self, *arguments: str, explain: str = "Installing the dependencies failed", check: bool = True) -> tuple[int, str]:
        # Explicit, because UV_PYTHON, which selects the interpreter of a venv, takes precedence over VIRTUAL_ENV.
        target = ["--python", f"{self.venv}/bin/python"] if arguments[0] == "pip" else []
        return self.run([self.options.uv, *arguments[:2], *target, *arguments[2:]], explain, check=check)

    def make_venv(self) -> str:
        """Create an empty venv; returns the installer's name and version."""
        explain = "The venv could not be made"
        self.uv("venv", "--quiet", "--allow-existing", "--no-config", "--python", self.options.python, str(self.venv),
                explain=explain)
        return self.uv("--version", explain=explain)[1].split("(")[0].strip()

    def _install(self, *arguments: str, explain: str = "Installing the dependencies failed") -> None:
        self.uv("pip", "install", *arguments, explain=explain)

    def install_package(self, pin: str) -> None:
        """Install a package of the index as the application."""
        self._install(pin, explain=f"Installing {pin} failed")

    def install(self, chosen: Plan) -> None:
        """Install the dependencies, then the project itself if it has a build system."""
        if chosen.kind == "uv.lock":
            self._install_uv_lock(chosen)
        elif chosen.kind == "pylock":
            self._install("-r", str(chosen.file))
        elif chosen.kind == "requirements":
            self._install("-r", str(chosen.file), *(["--require-hashes"] if chosen.hashes else []))
        elif chosen.is_package:
            self._install(".")
        else:
            self._install("-r", "pyproject.toml")
        if chosen.is_package and chosen.kind in ("pylock", "requirements"):
            self._install_project()

    def _install_project(self) -> None:
        self._install("--no-deps", ".", explain="Installing the project itself failed")

    def _install_uv_lock(self, chosen: Plan) -> None:
        explain = "Installing what uv.lock names failed"
        if not self.options.index_url:
            self.uv("sync", "--locked", "--no-dev", "--no-editable", explain=explain)
            return
        # The lock names files of the index it was made with; another index gets names and hashes.
        exported = f"{self.venv}/exported-requirements.txt"
        self.uv("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--format", "requirements.txt",
                "--output-file", exported, explain=explain)
        self.uv("pip", "sync", "--require-hashes", exported, explain=explain)
        if chosen.is_package:
            self._install_project()

    def install_gunicorn(self, lock: str) -> list[str]:
        """Install the pinned gunicorn, which replaces the project's version; returns warnings."""
        path = self.release / "gunicorn.txt"
        path.write_text(lock)
        path.chmod(0o644)
        before = installed_version(self.venv, "gunicorn")
        self._install("--no-config", "--require-hashes", "--no-deps", "-r", str(path), explain="Installing gunicorn failed")
        path.unlink()
        after = installed_version(self.venv, "gunicorn")
        if before and before != after:
            return [f"gunicorn {after} replaced {before}, which the project asks for"]
        return []

    def check(self) -> list[str]:
        """Check that the installed packages are compatible; returns warnings."""
        rc, text = self.uv("pip", "check", check=False)
        return [f"the installed packages do not fit together: {' '.join(text.split())}"] if rc else []

    def compile(self) -> None:
        """Compile the source to bytecode. A file that cannot be compiled is not an error: it may be a template."""
        self.run([f"{self.venv}/bin/python", "-I", "-m", "compileall", "-q", str(self.release / "src")],
                 "Compiling failed", check=False)


def installed_version(venv: Path, name: str) -> str | None:
    """The version of a package in a venv, from its directory's name."""
    found = sorted(venv.glob(f"lib/python3*/site-packages/{name}-*.dist-info"))
    return found[0].name[len(name) + 1:-len(".dist-info")] if found else None


def describe(folder: Path, chosen: Plan) -> dict[str, Any]:
    """The manifest's entry about dependencies."""
    file = chosen.file
    return {"requirements": file, "requirements_sha256": sha256_of(folder / file) if file else None, "hashes": chosen.hashes}
