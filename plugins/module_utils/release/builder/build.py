"""Build one release of an application from its source to its manifest, or reuse it."""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.names import APP_NAME
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import dependencies, hints, places
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import finalize as finish
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox, trusting
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import (
    LOG,
    Cache,
    Releases,
    fingerprint,
    new_id,
)
from ansible_collections.bulwark.flask.plugins.module_utils.release.lock import now
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options
from ansible_collections.bulwark.flask.plugins.module_utils.release.shared import Shared, link_files, problems
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import kinds
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import Host, Local
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.git import remove_stale_access


class Build:
    """One run of the module."""

    def __init__(self, options: Options, source: Mapping[str, Any], local: Mapping[str, Any] | None,
                 credentials: Mapping[str, str] | None = None) -> None:
        self.options = replace(options, python=dependencies.find_python(options.python))
        self.credentials = credentials or {}
        self.name = options.name
        self.source = kinds.parse(source, on_controller=False)
        self.releases = Releases(options.base)
        self.account = f"{self.name}-build"
        self.cache = Cache(self.account)
        self.sandbox = Sandbox(self.name, self.account, options.build_timeout_seconds)
        self.local = Local(**local) if local else None
        self.host = Host(self.sandbox, self.releases, self.cache, options.ca_bundle, self.local)
        self.identified: str | None = None
        self.warnings: list[str] = []
        self.steps: dict[str, float] = {}
        self.clock = time.monotonic()
        self._check_options()

    def _check_options(self) -> None:
        if not APP_NAME.fullmatch(self.name):
            raise ReleaseError("input", f"name: {self.name!r} is no name of an application.")
        below = PurePosixPath(self.options.subdirectory)
        if below.is_absolute() or ".." in below.parts:
            raise ReleaseError("input", f"subdirectory: {str(below)!r} leads out of the source.")
        for prefix in self.options.static:
            finish.static_target(prefix)
        if wrong := problems(self.options.shared):
            raise ReleaseError("input", "\n".join(wrong))
        if not self.source.is_tree and self.options.subdirectory:
            raise ReleaseError("input", "subdirectory has no meaning for a package.")
        if "@" in self.options.index_url.partition("://")[2].partition("/")[0]:
            raise ReleaseError("input", "index_url must not contain a password; put it into download_credentials.")

    def timed(self, step: str) -> None:
        """Record the duration of a step."""
        self.steps[step] = round(time.monotonic() - self.clock, 2)
        self.clock = time.monotonic()

    # --- the subject of a build ---------------------------------------------------------------

    def is_prepared(self) -> bool:
        """Whether the host has the accounts and tools that a release needs."""
        try:
            pwd.getpwnam(self.account)
        except KeyError:
            return False
        return self.releases.folder.is_dir() and all(os.path.exists(program) for program in [self.options.python, *self.source.programs])

    @property
    def commit(self) -> str | None:
        """The commit that is built, where there is one."""
        return self.identified if self.source.kind == "git" else self.local.note.get("commit") if self.local else None

    def python_version(self) -> str:
        """The version of the venv's interpreter."""
        if not os.path.exists(self.options.python):
            raise ReleaseError("python", f"{self.options.python} is not on the host, which has {dependencies.pythons()}. Name one of these in "
                                         "app_release: {python: …}, or a Debian package that brings it in app_release: {packages: […]}.")
        argv = [self.options.python, "-I", "-c", "import platform; print(platform.python_version())"]
        try:
            return subprocess.run(argv, capture_output=True, check=True, text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            raise ReleaseError("python", f"{self.options.python} does not run on the host: {error}.") from error

    def identity(self, version: str, complete: bool) -> dict[str, Any]:
        """The properties that identify the release. A patch version of Python is not one of them.

        `complete` allows a fetch that completes an abbreviated commit.
        """
        missing = [program for program in self.source.programs if not os.path.exists(program)]
        if missing:
            raise ReleaseError("source", f"{', '.join(missing)} is not installed on the host.")
        self.identified = self.source.identify(self.host, complete)
        return {
            "source": [self.source.kind, self.identified],
            "python": [self.options.python, ".".join(version.split(".")[:2])],
            "gunicorn": hashlib.sha256(self.options.gunicorn_requirements.encode()).hexdigest(),
            **{key: getattr(self.options, key) for key in ("subdirectory", "static", "requirements", "extras", "groups", "shared", "files", "build")},
            # Those of before there was such a setting keep their names.
            **({"python_packages": self.options.python_packages} if self.options.python_packages else {}),
        }

    # --- predict, prepare, run -----------------------------------------------------------------

    def predict(self) -> dict[str, Any]:
        """Predict a run, without changes."""
        if not self.is_prepared():
            return self._answer_new("0" * 64)
        if self.releases.lock.is_held():
            self.warnings.append(f"another run is deploying {self.name} right now")
            return self._answer_new("0" * 64)
        digest = fingerprint(self.identity(self.python_version(), False))
        manifest = self.releases.find(digest)
        if manifest is None:
            return self._answer_new(digest)
        return {**self._answer(manifest, False), "changed": bool(self.releases.unfinished())}

    def prepare(self) -> None:
        """Check the accounts and directories of a build. It runs before the lock is taken, whose file is in one of them."""
        try:
            self.gid = grp.getgrnam(self.name).gr_gid
            uid, build_gid = self.sandbox.ids
        except KeyError as error:
            raise ReleaseError("input", f"An account is missing on the host ({error.args[0]}); the role app_release "
                                        "creates it.") from error
        for folder in (self.releases.base, self.releases.folder):
            if not folder.is_dir():
                folder.mkdir(mode=0o751, parents=True)
                os.chown(folder, 0, self.gid)
                folder.chmod(0o751)
        self.cache.prepare(uid, build_gid)

    def run(self, announce: Callable[[str | None], None]) -> dict[str, Any]:
        """Reuse the release or build it, under the lock. `announce` is called with the commit before a build."""
        self.sandbox.stop_leftover()
        remove_stale_access(self.sandbox.unit)
        version = self.python_version()
        digest = fingerprint(self.identity(version, True))
        manifest = self.releases.find(digest)
        if manifest:
            removed = self.releases.remove_leftovers(failed=False)
            self.timed("find")
            return {**self._answer(manifest, False), "changed": bool(removed)}
        if self.local and not self.local.upload:
            return {"changed": False, "need_upload": True}
        self.releases.remove_leftovers(failed=True)
        self.timed("find")
        announce(self.commit)
        return self._answer(self._build(digest, version), True)

    def _answer(self, manifest: dict[str, Any], built: bool) -> dict[str, Any]:
        release = manifest["release"]
        return {"changed": built, "release": release, "path": str(self.releases.folder / release), "reused": not built,
                "fingerprint": manifest["fingerprint"], "commit": manifest.get("commit"), "manifest": manifest,
                "steps": self.steps, "warnings": self.warnings}

    def _answer_new(self, digest: str) -> dict[str, Any]:
        release = new_id(digest, now())
        return {"changed": True, "release": release, "path": str(self.releases.folder / release), "reused": False,
                "fingerprint": digest, "commit": self.commit, "manifest": {}, "steps": {}, "warnings": self.warnings}

    # --- building ------------------------------------------------------------------------------

    def _build(self, digest: str, version: str) -> dict[str, Any]:
        release = self.releases.folder / new_id(digest, now())
        release.mkdir(mode=0o750)
        try:
            # The application enters it when it is sealed.
            os.chown(release, 0, self.sandbox.ids[1])
            self.sandbox.log = release / LOG
            self.sandbox.log.touch(mode=0o640)
            os.chown(self.sandbox.log, 0, self.gid)
            return self._build_in(release, digest, version)
        except OSError as error:
            text = f"{error.strerror or error} ({error.filename or release})."
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                text = f"The disk of {self.releases.base} is full: make room, then run this again."
            raise ReleaseError("build", self._failed(release, text)) from error
        except ReleaseError as error:
            raise ReleaseError(error.step, self._failed(release, str(error))) from error

    def _failed(self, release: Path, text: str) -> str:
        """Store the output; returns the message with the path of the log."""
        try:
            with open(release / LOG, "a", encoding="utf-8") as log:
                log.write(f"The build failed: {text}\n")
        except OSError:
            pass
        kept = self.releases.keep_failed(release)
        return f"{text}\nThe whole log: {kept / LOG} on the host. The live release is unchanged."

    def _build_in(self, release: Path, digest: str, version: str) -> dict[str, Any]:
        began, source = now(), release / "src"
        uid, gid = self.sandbox.ids
        for folder in (source, release / "venv", release / "home"):
            folder.mkdir(mode=0o755)
            os.chown(folder, uid, gid)
        self.source.fetch(self.host, str(self.identified), source)
        self.timed("source")
        folder = source / self.options.subdirectory
        if source.resolve() not in [folder.resolve(), *folder.resolve().parents] or not folder.is_dir():
            raise ReleaseError("source", f"The source has no directory {self.options.subdirectory}.")
        dependencies.refuse_pointers(source)
        finish.hand_over(source, uid, gid)
        place = places.for_foreign_code(release, self.name, self.cache)
        installer = dependencies.Installer(self.sandbox, release, folder, self.options,
                                           places.for_downloads(release, self.name, self.cache, self.options.uv), place)
        facts = self._install(installer, folder)
        self._run_commands(release, folder, place)
        self.warnings += installer.compile()
        self.timed("compile")
        shutil.rmtree(release / "home")
        for tree in (source, release / "venv"):
            finish.copy_afresh(tree)
            finish.seal(tree, self.gid)
        installer.records.compare()
        os.chown(release, 0, self.gid)
        release.chmod(0o751)
        # Sealed first, so that no process of the build can move files meanwhile.
        self._copy_static(release, sorted((release / "venv").glob("lib/python3*/site-packages")) if not self.source.is_tree else [folder, source])
        Shared(self.name, self.options.shared).link(release, folder, self.gid)
        link_files(folder, self.options.files, self.gid)
        subprocess.run(["sync", "--file-system", str(release)], check=False)
        self.timed("seal")
        manifest = {**self._manifest(release, digest), **facts, "python": version, "built_at": f"{began:%Y-%m-%dT%H:%M:%SZ}",
                    "duration_seconds": round((now() - began).total_seconds(), 1), "warnings": self.warnings}
        self.releases.write_manifest(release, manifest, self.gid)
        return manifest

    def _install(self, installer: dependencies.Installer, folder: Path) -> dict[str, Any]:
        facts: dict[str, Any] = {"requirements": None, "requirements_sha256": None, "hashes": False}
        chosen = None
        if self.source.is_tree:
            chosen = dependencies.plan(folder, self.options.requirements, self.options.groups, self.options.extras)
            facts = dependencies.describe(folder, chosen)
        unlocked = ([] if facts["hashes"] else [facts["requirements"] or self.source.address]) + self.options.python_packages
        if unlocked:
            self.warnings.append(f"installed {dependencies.UNLOCKED}: {', '.join(unlocked)}")
            facts["hashes"] = False
        facts["installer"] = installer.make_venv()
        self.timed("venv")
        try:
            with installer.access(self.credentials):
                if chosen is None:
                    installer.install_package(self.source.address)
                else:
                    installer.install(chosen)
                installer.install_further()
                self.timed("dependencies")
                # It is looked for on the same indexes.
                if self.options.gunicorn_requirements:
                    self.warnings += installer.install_gunicorn(self.options.gunicorn_requirements)
                self.timed("gunicorn")
                # Last, as its code runs.
                if chosen and chosen.is_package:
                    self.warnings += installer.install_project()
        except ReleaseError as error:
            raise ReleaseError(error.step, f"{error}{self._python_advice(str(error), facts['requirements'])}") from error
        self.warnings += installer.check()
        self.timed("project")
        return facts

    def _python_advice(self, text: str, file: str | None) -> str:
        asked = hints.python_requirement(text)
        if not asked:
            return ""
        version = ".".join(self.python_version().split(".")[:2])
        return (f"\n{file or self.source.address} asks for Python {asked}, and the release is made with {version}. The host has "
                f"{dependencies.pythons()}: name one that fits in app_release: {{python: \"3.x\"}}, or lock the dependencies for {version} "
                f"(requires-python, `uv lock --python {version}`).")

    def _run_commands(self, release: Path, folder: Path, place: places.Place) -> None:
        """Run the operator's commands, such as `npm run build`, in the sandbox of the build."""
        venv = release / "venv"
        path = f"{venv}/bin:{folder}/node_modules/.bin:/usr/local/bin:/usr/bin:/bin"
        for line in self.options.build:
            self.sandbox.run(["/bin/sh", "-euc", line], step="build", folder=folder, properties=place.properties,
                             env={**place.env, **trusting(self.options.ca_bundle), "PATH": path, "VIRTUAL_ENV": str(venv), "FLASK_APP": self.options.wsgi},
                             explain=f"The build command `{line}` failed")
        if self.options.build:
            self.timed("commands")

    def _copy_static(self, release: Path, roots: list[Path]) -> None:
        target = release / "static"
        target.mkdir(mode=0o755)
        for prefix, wanted in sorted(self.options.static.items()):
            links = finish.copy_static(finish.find_static(roots, wanted), target / finish.static_target(prefix))
            if links:
                self.warnings.append(f"links among the static files are not served: {', '.join(links[:5])}")
        replaced = finish.compress(target)
        if replaced:
            self.warnings.append(f"not what their names say, and compressed anew: {', '.join(replaced[:5])}")
        finish.publish(target, self.gid)

    def _manifest(self, release: Path, digest: str) -> dict[str, Any]:
        source = {"kind": self.source.kind, "from": self.source.shown, **(self.local.note if self.local else {})}
        source |= {key: self.source.options[key] for key in ("version", "sha256") if key in self.source.options}
        return {
            "release": release.name, "application": self.name, "fingerprint": digest, "source": source,
            "commit": self.commit, "subdirectory": self.options.subdirectory,
            "static": self.options.static, "built_by": self.options.by,
        }
