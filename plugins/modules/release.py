#!/usr/bin/python
"""Build a release of an application beside the ones that are there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build a release of an application, or find the one that has the same contents
version_added: "0.1.0"
description:
  - A release is a directory below C(<base>/releases) with the source, a venv of its own, the files the
    web server serves, and a manifest that is written last. Nothing in it changes afterwards.
  - The same source, dependencies and interpreter give the same fingerprint; a finished release with
    that fingerprint is used again.
  - Whatever runs code of others (build back ends, git) runs as the account C(<name>-build) in a sandbox.
options:
  name:
    description: The application, also its group.
    type: str
    required: true
  source:
    description:
      - One of C(git) (with C(version), C(deploy_key), C(host_key)), C(path) on the controller,
        C(archive) on the controller or an https URL (with C(sha256)), and C(package) (C(name==version)).
    type: dict
    required: true
  subdirectory:
    description: Directory below the source that holds the application and its lock file.
    type: str
    default: ""
  static:
    description: URL prefix to directory in the source.
    type: dict
    default: {}
  requirements:
    description: File that names the dependencies, or V(auto).
    type: str
    default: auto
  installer:
    description: What installs them.
    type: str
    choices: [uv, pip]
    default: uv
  uv:
    description: The uv to run.
    type: path
    default: /opt/uv/current/bin/uv
  gunicorn_requirements:
    description: Text of the lock file of the server.
    type: str
    required: true
  python:
    description: Interpreter of the venv.
    type: path
    default: /usr/bin/python3
  ca_bundle:
    description: Certificates trusted while downloading.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
  index_url:
    description: Package index; empty means PyPI.
    type: str
    default: ""
  base:
    description: Where releases are; C(/srv/<name>) by default.
    type: path
  timeout_seconds:
    description: Seconds one step of the build may take.
    type: int
    default: 900
attributes:
  check_mode:
    description: Predicts whether a release would be built.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Build
  bulwark.flask.release:
    name: shop
    source: {git: https://git.example.com/shop.git, version: main}
    gunicorn_requirements: "{{ lookup('ansible.builtin.file', 'gunicorn.txt') }}"
"""

RETURN = r"""
release:
  description: Id of the release.
  type: str
  returned: success
reused:
  description: Whether a finished release was found.
  type: bool
  returned: success
manifest:
  description: What the release is made of.
  type: dict
  returned: success
"""

import datetime
import fcntl
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import packing
from ansible_collections.bulwark.flask.plugins.module_utils.sandboxed import command_line

ORDER = ("uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml")


class Build:
    """One release in the making."""

    def __init__(self, module):
        self.module, self.options = module, module.params
        self.name = self.options["name"]
        self.builder = f"{self.name}-build"
        self.base = Path(self.options["base"] or f"/srv/{self.name}")
        self.releases = self.base / "releases"
        self.cache = Path(f"/var/cache/{self.builder}")
        self.source = {key: value for key, value in self.options["source"].items() if value}
        self.log_lines = []
        self.folder = None
        self.facts = {}

    # --- commands -----------------------------------------------------------------------------
    def sandboxed(self, step, command, folder=None, **environment):
        """Run a command as the building account; a failure ends the build in the command's own words."""
        writable = [str(self.cache)] + ([str(self.folder)] if self.folder else [])
        base = {"HOME": str(self.cache), "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
                "SSL_CERT_FILE": self.options["ca_bundle"], "PIP_CERT": self.options["ca_bundle"],
                "REQUESTS_CA_BUNDLE": self.options["ca_bundle"], "UV_CACHE_DIR": f"{self.cache}/uv",
                "UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy", "UV_NO_PROGRESS": "1", "UV_COMPILE_BYTECODE": "1",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "GIT_TERMINAL_PROMPT": "0"}
        if self.options["index_url"]:
            base |= {"UV_DEFAULT_INDEX": self.options["index_url"], "PIP_INDEX_URL": self.options["index_url"]}
        rc, out, err = self.module.run_command(command_line(
            command, self.builder, writable, base | environment, self.options["timeout_seconds"],
            str(folder or self.folder or self.cache)))
        self.log_lines.append(f"$ {' '.join(command)}\n{out}{err}")
        if rc:
            self.fail(step, err or out)
        return out

    def fail(self, step, words):
        """End the build; what was begun stays for inspection, without a manifest, until the next build."""
        where = ""
        if self.folder and self.folder.exists():
            (self.folder / "build.log").write_text("\n".join(self.log_lines))
            where = f"\nThe whole log is {self.folder / 'build.log'}."
        tail = "\n".join(words.strip().splitlines()[-20:])
        self.module.fail_json(msg=f"{self.name}: {step} failed:\n{tail}{where}\nNothing was switched; the live release "
                                  "goes on.")

    # --- what is to be built ------------------------------------------------------------------
    def identity(self):
        """What the source is, as text that changes when its contents do."""
        if "git" in self.source:
            self.facts["commit"] = self.resolve_commit()
            return f"git {self.facts['commit']}"
        if "package" in self.source:
            return f"package {self.source['package']}"
        return f"content {self.options['content_sha256'] or self.source.get('sha256')}"

    def git_environment(self, folder):
        """SSH options for a deploy key, which is on disk only while git runs."""
        if not self.source.get("deploy_key"):
            return {"GIT_SSH_COMMAND": f"ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new "
                                       f"-o UserKnownHostsFile={self.cache}/known_hosts"}
        owner = pwd.getpwnam(self.builder)
        key, known = Path(folder, "key"), Path(folder, "known_hosts")
        key.write_text(self.source["deploy_key"].rstrip("\n") + "\n")
        checking = "accept-new"
        if self.source.get("host_key"):
            known.write_text(self.source["host_key"].rstrip("\n") + "\n")
            checking = "yes"
        else:
            known = self.cache / "known_hosts"
        for path in (Path(folder), key):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        key.chmod(0o600)
        return {"GIT_SSH_COMMAND": f"ssh -i {key} -o IdentitiesOnly=yes -o BatchMode=yes "
                                   f"-o StrictHostKeyChecking={checking} -o UserKnownHostsFile={known}"}

    def git(self, step, *arguments):
        """One git command with the key it may need."""
        self.cache.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=".key-") as folder:
            return self.sandboxed(step, ["git", *arguments], self.cache, **self.git_environment(folder))

    def resolve_commit(self):
        """The commit a branch, tag or commit stands for now."""
        version = self.source.get("version") or "HEAD"
        if re.fullmatch(r"[0-9a-f]{40}", version):
            return version
        wanted = ["HEAD"] if version == "HEAD" else [f"refs/heads/{version}", f"refs/tags/{version}^{{}}", f"refs/tags/{version}"]
        out = self.git("asking the repository", "ls-remote", self.source["git"], *wanted)
        found = dict(reversed(line.split("\t")) for line in out.splitlines() if "\t" in line)
        for name in wanted:
            if name in found:
                return found[name]
        self.fail("asking the repository", f"{self.source['git']} has no branch, tag or commit {version}")

    def fingerprint(self):
        """What makes two builds the same."""
        parts = [self.identity(), self.options["subdirectory"], json.dumps(self.options["static"], sort_keys=True),
                 self.options["requirements"], self.options["installer"], self.options["index_url"],
                 os.path.realpath(self.options["python"]), self.options["gunicorn_requirements"]]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def finished(self, fingerprint):
        """A release that is complete and has this fingerprint."""
        for path in sorted(self.releases.glob("*/manifest.json"), reverse=True):
            manifest = json.loads(path.read_text())
            if manifest.get("fingerprint") == fingerprint:
                return manifest
        return None

    # --- steps --------------------------------------------------------------------------------
    def fetch(self):
        """Put the source in place."""
        target = self.folder / "src"
        if "git" in self.source:
            mirror = self.cache / "git"
            if not (mirror / "HEAD").exists():
                self.git("preparing the mirror", "init", "--quiet", "--bare", str(mirror))
            self.git("fetching the repository", "-C", str(mirror), "fetch", "--quiet", "--force", "--prune", self.source["git"],
                     "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            self.sandboxed("checking out", ["git", "clone", "--quiet", "--no-checkout", str(mirror), str(target)])
            self.sandboxed("checking out", ["git", "-C", str(target), "checkout", "--quiet", "--detach", self.facts["commit"]])
            shutil.rmtree(target / ".git")
        elif "package" in self.source:
            target.mkdir()
        else:
            archive = self.options["upload"]
            if not archive:
                archive = str(self.folder / "source")
                self.sandboxed("downloading the archive", [
                    self.options["python"], "-c", "import sys, urllib.request as u; u.urlretrieve(sys.argv[1], sys.argv[2])",
                    self.source["archive"], archive])
            got = packing.digest(Path(archive).read_bytes())
            if self.source.get("sha256", got) != got:
                self.fail("checking the archive", f"its SHA-256 is {got}, not {self.source['sha256']}")
            try:
                packing.unpack(Path(archive), target)
            except packing.Unsafe as error:
                self.fail("unpacking the source", str(error))
        self.give(self.folder)

    def give(self, path):
        """Let the building account own a tree."""
        owner = pwd.getpwnam(self.builder)
        for root, folders, files in os.walk(path):
            for name in [root, *[os.path.join(root, n) for n in folders + files]]:
                os.lchown(name, owner.pw_uid, owner.pw_gid)

    def install(self):
        """Make the venv and put the dependencies, the application and the server into it."""
        home = self.folder / "src" / self.options["subdirectory"]
        venv, python = self.folder / "venv", str(self.folder / "venv" / "bin" / "python")
        uv = self.options["installer"] == "uv"
        tool = self.options["uv"]
        self.sandboxed("making the venv", [tool, "venv", "--quiet", "--no-project", "--python", self.options["python"], str(venv)]
                       if uv else [self.options["python"], "-m", "venv", str(venv)])

        def pip(step, *arguments):
            front = [tool, "pip", "install", "--quiet", "--python", python] if uv else \
                [python, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
            self.sandboxed(step, [*front, *arguments], home)

        if "package" in self.source:
            pip("installing the package", self.source["package"])
        else:
            self.install_from(home, pip)
        server = self.folder / "gunicorn.txt"
        server.write_text(self.options["gunicorn_requirements"])
        pip("installing gunicorn", "--require-hashes", "--no-deps", "-r", str(server))
        server.unlink()

    def install_from(self, home, pip):
        """Install what the project's own file asks for."""
        name = self.options["requirements"]
        if name == "auto":
            name = next((n for n in ORDER if (home / n).exists()), None)
        if not name or not (home / name).exists():
            self.fail("finding the dependencies", f"there is none of {', '.join(ORDER)} in the source"
                      if not name else f"there is no {name} in the source")
        text = (home / name).read_text()
        self.facts |= {"lock": name, "lock_sha256": packing.digest(text.encode())}
        step = f"installing the dependencies of {name}"
        if name == "uv.lock":
            exported = self.folder / "locked.txt"
            self.sandboxed("reading uv.lock", [
                self.options["uv"], "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header",
                "--format", "requirements.txt", "--project", str(home), "--python", self.options["python"],
                "--output-file", str(exported)], home)
            pip(step, "--require-hashes", "-r", str(exported))
            exported.unlink()
            self.facts["hashes"] = True
        elif name == "pyproject.toml":
            pip(step, ".")
            self.facts["hashes"] = False
        else:
            self.facts["hashes"] = name == "pylock.toml" or "--hash=" in text
            pip(step, *(["--require-hashes"] if name != "pylock.toml" and self.facts["hashes"] else []), "-r", name)
        project = home / "pyproject.toml"
        if name != "pyproject.toml" and project.exists() and "[build-system]" in project.read_text():
            pip("installing the project", "--no-deps", ".")

    def publish_static(self):
        """Copy what the web server serves, readable for it; links are not followed."""
        source = self.folder / "src" / self.options["subdirectory"]
        if "package" in self.source:
            source = next(iter((self.folder / "venv").glob("lib/python3*/site-packages")))
        (self.folder / "static").mkdir(mode=0o755)
        for prefix, relative in sorted(self.options["static"].items()):
            origin = source / relative
            if not origin.is_dir():
                self.fail("copying the static files", f"{relative} (for {prefix}) is not a directory of the source")
            shutil.copytree(origin, self.folder / "static" / prefix.strip("/"), symlinks=True, dirs_exist_ok=True)

    def seal(self):
        """root owns all, the application may read, nobody may write; only static is for the web server."""
        gid = grp.getgrnam(self.name).gr_gid
        for root, folders, files in os.walk(self.folder):
            public = Path(root).is_relative_to(self.folder / "static")
            os.lchown(root, 0, gid)
            os.chmod(root, 0o755 if public else 0o750)
            for name in files + [n for n in folders if os.path.islink(os.path.join(root, n))]:
                path = os.path.join(root, name)
                os.lchown(path, 0, gid)
                if not os.path.islink(path):
                    execute = os.stat(path).st_mode & 0o100
                    os.chmod(path, (0o755 if execute else 0o644) if public else (0o750 if execute else 0o640))
        os.chmod(self.folder, 0o751)

    def python_version(self):
        """The interpreter of the finished venv."""
        text = (self.folder / "venv" / "pyvenv.cfg").read_text()
        found = re.search(r"^version(?:_info)? = (\S+)", text, re.MULTILINE)
        return found.group(1) if found else None

    def run(self, fingerprint):
        """All steps; returns the manifest."""
        began = time.monotonic()
        now = datetime.datetime.now(datetime.timezone.utc)
        for left in self.releases.iterdir():
            if left.is_dir() and not (left / "manifest.json").exists():
                shutil.rmtree(left)
        release = f"{now:%Y%m%d-%H%M%S}-{fingerprint[:8]}"
        self.folder = self.releases / release
        self.folder.mkdir(mode=0o755)
        self.fetch()
        self.install()
        self.publish_static()
        self.seal()
        manifest = {
            "release": release, "fingerprint": fingerprint,
            "source": {k: v for k, v in self.source.items() if k not in ("deploy_key", "host_key")},
            "python": self.python_version(), "installer": self.options["installer"],
            "built_at": now.isoformat(timespec="seconds"), "built_by": self.options["built_by"],
            "duration_seconds": round(time.monotonic() - began, 1), **self.facts,
        }
        (self.folder / "build.log").write_text("\n".join(self.log_lines))
        (self.folder / "build.log").chmod(0o640)
        temporary = self.folder / ".manifest.json"
        temporary.write_text(json.dumps(manifest, indent=2) + "\n")
        temporary.chmod(0o644)
        temporary.replace(self.folder / "manifest.json")
        return manifest


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "source": {"type": "dict", "required": True, "options": {
                "git": {"type": "str"}, "version": {"type": "str"}, "deploy_key": {"type": "str", "no_log": True},
                "host_key": {"type": "str", "no_log": False}, "path": {"type": "str"}, "archive": {"type": "str"},
                "sha256": {"type": "str"}, "package": {"type": "str"}},
                "mutually_exclusive": [("git", "path", "archive", "package")],
                "required_one_of": [("git", "path", "archive", "package")]},
            "subdirectory": {"type": "str", "default": ""},
            "static": {"type": "dict", "default": {}},
            "requirements": {"type": "str", "default": "auto"},
            "installer": {"type": "str", "choices": ["uv", "pip"], "default": "uv"},
            "uv": {"type": "path", "default": "/opt/uv/current/bin/uv"},
            "gunicorn_requirements": {"type": "str", "required": True},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
            "index_url": {"type": "str", "default": ""},
            "base": {"type": "path"},
            "timeout_seconds": {"type": "int", "default": 900},
            # From the controller's side of the plugin.
            "content_sha256": {"type": "str", "default": ""},
            "upload": {"type": "path"},
            "built_by": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    build = Build(module)
    if module.check_mode and not build.cache.exists():
        module.exit_json(changed=True, release="(new)", reused=False, manifest={})
    fingerprint = build.fingerprint()
    manifest = build.finished(fingerprint)
    if manifest:
        module.exit_json(changed=False, release=manifest["release"], reused=True, manifest=manifest)
    if module.check_mode:
        module.exit_json(changed=True, release="(new)", reused=False, manifest={})
    if module.params["content_sha256"] and not module.params["upload"]:
        module.exit_json(changed=False, need_upload=True)
    with open(build.base / ".deploy.lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            module.fail_json(msg=f"Another deployment of {build.name} is running: {lock.read().strip()}")
        lock.truncate(0)
        lock.write(f"{module.params['built_by']} since {datetime.datetime.now().isoformat(timespec='seconds')}")
        lock.flush()
        try:
            manifest = build.run(fingerprint)
        except OSError as error:
            build.fail("writing the release", str(error))
    module.exit_json(changed=True, release=manifest["release"], reused=False, manifest=manifest)


if __name__ == "__main__":
    main()
