"""Install a release's dependencies into its venv with uv, from the project's lock file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import other_locks
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.places import Place
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.records import Records
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox, failure, trusting
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import sha256_of
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options

LOCKS = ["uv.lock", "pylock.toml", "requirements.txt", other_locks.POETRY, other_locks.PIPENV, "pyproject.toml", "setup.py", "setup.cfg"]
KINDS = {"uv.lock": "uv.lock", "pyproject.toml": "pyproject", "setup.py": "pyproject", "setup.cfg": "pyproject",
         other_locks.POETRY: "other", other_locks.PIPENV: "other"}
# What of a project can be chosen in a file of each kind.
CHOICES = {"uv.lock": ("extras", "groups"), "pyproject": ("extras", "groups"), other_locks.POETRY: ("extras", "groups"), other_locks.PIPENV: ("groups",)}
UNLOCKED = "without hashes, so that the same source can give other dependencies later; lock them (uv lock)"
LFS = b"version https://git-lfs.github.com/spec/v1\n"


class Plan(NamedTuple):
    """The file that lists the dependencies, and its properties; `text` are the requirements of another tool's lock."""

    file: str | None
    kind: str
    hashes: bool
    is_package: bool
    text: str = ""


def has_build_system(folder: Path) -> bool:
    """Whether the project has a build system and is a package, so that it is installed too."""
    path = folder / "pyproject.toml"
    text = path.read_text(errors="replace") if path.is_file() else ""
    return bool(re.search(r"(?m)^\[build-system\]", text)) and not re.search(r"(?m)^package(-mode)?\s*=\s*false", text)


def requirements_text(path: Path, root: Path, seen: frozenset[Path] = frozenset()) -> str:
    """A requirements file with the files it includes."""
    real = path.resolve()
    if real in seen or root.resolve() not in real.parents or not real.is_file():
        return ""
    text = real.read_text(errors="replace")
    included = re.findall(r"(?m)^\s*(?:-r|--requirement)[ =]\s*(\S+)", text)
    return text + "".join("\n" + requirements_text(path.parent / name, root, seen | {real}) for name in included)


def _is_inside(folder: Path, name: str) -> bool:
    """Whether there is such a file, and no link that leads out of the source."""
    return (folder / name).is_file() and folder.resolve() in (folder / name).resolve().parents


def _candidates(folder: Path) -> str:
    """The files that look like requirements, for the message that none has a usual name."""
    files = sorted(str(path.relative_to(folder)) for pattern in ("*requirements*", "requirements/*", "*/requirements.txt", "*/pyproject.toml")
                   for path in folder.glob(pattern) if path.suffix in (".txt", ".toml"))
    if not files:
        return "Add one, or set subdirectory to where it is."
    return f"There is {', '.join(files[:5])}: write app_release: {{requirements: {files[0]}}}, or subdirectory: the directory of the application."


def plan(folder: Path, wanted: str, groups: Collection[str] = (), extras: Collection[str] = ()) -> Plan:
    """Select the file to install from; `wanted` is a file name or auto."""
    if wanted == "auto":
        file = next((name for name in LOCKS if _is_inside(folder, name)), None)
        if file is None:
            raise ReleaseError("dependencies", f"The source lists no dependencies: none of {', '.join(LOCKS)} is there. {_candidates(folder)}")
    elif not _is_inside(folder, wanted):
        raise ReleaseError("dependencies", f"The source has no file {wanted}.")
    else:
        file = wanted
    name = Path(file).name
    kind = "pylock" if re.fullmatch(r"pylock(\.[^.]+)?\.toml", name) else KINDS.get(name, "requirements")
    if kind in ("uv.lock", "pyproject") and file != name:
        raise ReleaseError("dependencies", f"{name} must be in the application's directory; set subdirectory to its directory.")
    for choice, chosen in (("extras", extras), ("groups", groups)):
        if chosen and choice not in CHOICES.get(name, CHOICES.get(kind, ())):
            raise ReleaseError("dependencies", f"app_release.{choice} has no meaning for {file}; leave it out, or name another file in requirements.")
    text = other_locks.as_requirements(name, (folder / file).read_text(errors="replace"), groups, extras) if kind == "other" else \
        requirements_text(folder / file, folder) if kind == "requirements" else ""
    hashes = kind in ("uv.lock", "pylock") or "--hash=" in text
    if kind == "other":
        hashes = all("--hash=" in line for line in text.replace("\\\n", "").splitlines() if line.strip())
    return Plan(file, kind, hashes, has_build_system(folder) or name in ("setup.py", "setup.cfg"), text if kind == "other" else "")


def find_python(wanted: str) -> str:
    """The interpreter of the host that `wanted` means: a path, or a version such as 3.12."""
    if wanted.startswith("/"):
        # The versioned name: python3 is another interpreter after an upgrade of the distribution, and the venv of a release
        # that serves would find none of its packages.
        real = os.path.realpath(wanted)
        return real if os.path.dirname(real) == os.path.dirname(wanted) else wanted
    places = [f"{folder}/python{wanted}" for folder in ("/usr/bin", "/usr/local/bin")]
    return next((place for place in places if os.access(place, os.X_OK)), places[0])


def pythons() -> str:
    """The interpreters of the host, for messages."""
    programs = {path.name.removeprefix("python"): str(path) for folder in ("/usr/bin", "/usr/local/bin") for path in Path(folder).glob("python3.*")
                if re.fullmatch(r"python3\.\d+", path.name)}
    return ", ".join(f"{version} ({path})" for version, path in sorted(programs.items(), key=lambda item: int(item[0].partition(".")[2]))) or "none"


def refuse_pointers(root: Path) -> None:
    """Refuse files of Git LFS that were not fetched: each is three lines of text."""
    pointers = [path for path in root.rglob("*") if not path.is_symlink() and path.is_file() and path.stat().st_size < 1024
                and ".git" not in path.relative_to(root).parts and path.read_bytes().startswith(LFS)]
    if pointers:
        names = ", ".join(str(path.relative_to(root)) for path in sorted(pointers)[:5]) + (f" and {len(pointers) - 5} more" if len(pointers) > 5 else "")
        raise ReleaseError("source", f"These files are pointers of Git LFS, and their contents are not there: {names}. For a git source write "
                                     "app_release: {packages: [git-lfs]}; for a directory or an archive run `git lfs pull` before.")


# Servers that take tokens accept any name with them.
TOKEN_USER = "__token__"


# What uv says when a package must be built, or when it could not start the program that builds it.
NO_WHEEL = re.compile(r"[Bb]uilding (from source|source distributions)|no binary distribution|Failed to (download and )?build|"
                      r"Git (executable|operation)|Failed to run")


class Installer:
    """Creates a venv and installs packages.

    uv first installs wheels alone, in the place for downloads. Where something has no wheel, and for the project itself, it
    runs in the place for foreign code, where it has neither the cache nor the credentials.
    """

    def __init__(self, sandbox: Sandbox, release: Path, folder: Path, options: Options, downloads: Place, foreign: Place) -> None:
        self.sandbox = sandbox
        self.release = release
        self.venv = release / "venv"
        self.folder = folder
        self.options = options
        self.downloads, self.foreign = downloads, foreign
        self.place = downloads
        self.records = Records(self.venv)
        index = options.index_url
        self.env = {
            **trusting(options.ca_bundle), "VIRTUAL_ENV": str(self.venv), "GIT_TERMINAL_PROMPT": "0",
            "UV_LINK_MODE": "copy", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never",
            "UV_PYTHON": options.python, "UV_PROJECT_ENVIRONMENT": str(self.venv),
        }
        if index:
            self.env["UV_DEFAULT_INDEX"] = index
        if options.extra_index_urls:
            # uv takes a package from the first index that has it: a package of the same name on the public index is not taken.
            self.env["UV_INDEX"] = " ".join(options.extra_index_urls)

    @contextmanager
    def access(self, credentials: Mapping[str, str]) -> Iterator[None]:
        """Let uv reach servers that need a password, from files that only the build account can read; gone afterwards.

        Code of packages gets them only where the operator allows it: a repository is always built by such code.
        """
        if not credentials:
            yield
            return
        with self.sandbox.private_folder() as folder:
            netrc, store = "", ""
            for host, given in credentials.items():
                user, separator, password = given.partition(":")
                user, password = (user, password) if separator else (TOKEN_USER, given)
                netrc += f"machine {host} login {user} password {password}\n"
                store += f"https://{quote(user, safe='')}:{quote(password, safe='')}@{host}\n"
            self.sandbox.write_private(folder, {"netrc": netrc, "credentials": store,
                                                "gitconfig": f'[credential]\n\thelper = "store --file={folder}/credentials"\n'})
            places = self.downloads, self.foreign
            access = [f"ReadWritePaths={folder}"], {"NETRC": f"{folder}/netrc", "GIT_CONFIG_GLOBAL": f"{folder}/gitconfig"}
            self.downloads = self.place = self.downloads.also(*access)
            self.foreign = self.foreign.also(*access) if self.options.credentials_for_builds else self.foreign.also([f"InaccessiblePaths={folder}"], {})
            try:
                yield
            finally:
                self.downloads, self.foreign = places
                self.place = self.foreign

    def run(self, argv: list[str], explain: str, step: str = "dependencies", check: bool = True) -> tuple[int, str]:
        """One command in the folder of the project, in the present place."""
        return self.sandbox.run(argv, step=step, folder=self.folder, properties=self.place.properties, env={**self.env, **self.place.env},
                                check=check, explain=explain)

    def uv(self, *arguments: str, explain: str = "Installing the dependencies failed", check: bool = True) -> tuple[int, str]:
        # Explicit, because UV_PYTHON, which selects the interpreter of a venv, takes precedence over VIRTUAL_ENV.
        target = ["--python", f"{self.venv}/bin/python"] if arguments[0] == "pip" else []
        return self.run([self.options.uv, *arguments[:2], *target, *arguments[2:]], explain, check=check)

    def make_venv(self) -> str:
        """Create an empty venv; returns the installer's name and version."""
        # The venv is empty, so its interpreter runs no code of a package. uv remembers in its cache what that says.
        self.place = self.downloads.running_programs()
        script = '"$1" venv --quiet --allow-existing --no-config --python "$2" "$3" && "$1" pip list --no-config --python "$3/bin/python" >&2 && "$1" --version'
        _unused, text = self.run(["/bin/sh", "-c", script, "sh", self.options.uv, self.options.python, str(self.venv)], "The venv could not be made")
        self.place = self.downloads
        return text.strip().rpartition("\n")[2].partition("(")[0].strip()

    def _prefer_wheels(self, *arguments: str, explain: str) -> None:
        """Install from wheels alone; if something has none, again with the code of packages. There is no way back from there."""
        if self.place is self.downloads:
            rc, text = self.uv(*arguments, "--no-build", explain=explain, check=False)
            if not rc:
                self.records.read()
                return
            if not NO_WHEEL.search(text):
                raise ReleaseError("dependencies", failure(explain, [self.options.uv, *arguments], rc, text))
            self.place = self.foreign
        self.uv(*arguments, explain=explain)

    def _install(self, *arguments: str, explain: str = "Installing the dependencies failed") -> None:
        self._prefer_wheels("pip", "install", *arguments, explain=explain)

    def install_package(self, pin: str) -> None:
        """Install a package of the index as the application."""
        self._install(pin, explain=f"Installing {pin} failed")

    def install_further(self) -> None:
        """Install the packages that the operator adds. What is installed stays where it fits."""
        if wanted := self.options.python_packages:
            self._install("--no-config", *wanted, explain=f"Installing {', '.join(wanted)} failed")

    def install(self, chosen: Plan) -> None:
        """Install the dependencies."""
        if chosen.kind == "uv.lock":
            self._install_uv_lock()
        elif chosen.kind == "other":
            self._install_text(chosen)
        elif chosen.kind == "requirements":
            self._install("-r", str(chosen.file), *(["--require-hashes"] if chosen.hashes else []))
        else:
            self._install("-r", str(chosen.file), *(self._choices() if chosen.kind == "pyproject" else []))

    def _choices(self) -> list[str]:
        chosen = [(f"--{kind}", name) for kind, names in (("extra", self.options.extras), ("group", self.options.groups)) for name in names]
        return [word for pair in chosen for word in pair]

    def install_project(self) -> list[str]:
        """Install the project itself; returns warnings. One that cannot be built is served from its source."""
        try:
            self.place = self.foreign
            self._install("--no-deps", ".", explain="Installing the project itself failed")
        except ReleaseError as error:
            module = self.options.wsgi.partition(":")[0].partition(".")[0]
            if not ((self.folder / f"{module}.py").is_file() or (self.folder / module).is_dir()):
                raise
            lines = [line.strip() for line in str(error).splitlines()]
            reason = next((line for line in reversed(lines) if re.match(r"(error|\w+Error): (?!Failed to build)", line)), lines[-1])
            return [f"the project itself cannot be built and is served from its source ({reason[:200]})"]
        return []

    def _install_uv_lock(self) -> None:
        explain = "Installing what uv.lock names failed"
        if not self.options.index_url:
            self._prefer_wheels("sync", "--locked", "--no-dev", "--no-editable", "--no-install-project", *self._choices(), explain=explain)
            return
        # The lock names files of the index it was made with; another index gets names and hashes.
        exported = f"{self.venv}/exported-requirements.txt"
        self.uv("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--format", "requirements.txt", *self._choices(),
                "--output-file", exported, explain=explain)
        self._prefer_wheels("pip", "sync", "--require-hashes", exported, explain=explain)

    def _install_text(self, chosen: Plan) -> None:
        """Install the packages of another tool's lock. The file is where the source cannot have put a link."""
        path = self.release / "exported-requirements.txt"
        path.write_text(chosen.text)
        path.chmod(0o644)
        try:
            self._install("-r", str(path), *(["--require-hashes"] if chosen.hashes else []), "--no-deps",
                          explain=f"Installing what {chosen.file} names failed")
        finally:
            path.unlink()

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

    def compile(self) -> list[str]:
        """Compile the source and the packages to bytecode, also where a build has left some; returns warnings.

        No code of theirs runs: the interpreter is the host's, without the venv. A file that cannot be compiled is not an
        error: it may be a template.
        """
        self.place = self.foreign.with_unix_sockets()
        self.run([self.options.python, "-I", "-S", "-m", "compileall", "-q", "-f", "-j", "0", str(self.release / "src"), str(self.venv / "lib")],
                 "Compiling failed", check=False)
        compiled = any(self.venv.glob("lib/python3*/site-packages/gunicorn/__pycache__/*.pyc"))
        return [] if compiled else [f"nothing was compiled to bytecode, so each start takes longer; see {self.sandbox.log}"]


def installed_version(venv: Path, name: str) -> str | None:
    """The version of a package in a venv, from its directory's name."""
    records = sorted(venv.glob(f"lib/python3*/site-packages/{name}-*.dist-info"))
    return records[0].name[len(name) + 1:-len(".dist-info")] if records else None


def describe(folder: Path, chosen: Plan) -> dict[str, Any]:
    """The manifest's entry about dependencies."""
    file = chosen.file
    return {"requirements": file, "requirements_sha256": sha256_of(folder / file) if file else None, "hashes": chosen.hashes}
