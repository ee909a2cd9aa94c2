"""Copies of the examples, made insecure one by one, and the inspector run on them as on a host."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector import main
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.packing import inspector_zip
from ansible_collections.bulwark.flask.tests.unit.checkout import ROOT
from ansible_collections.bulwark.flask.tests.unit.plugins.module_utils.preflight.preflight_variants import VARIANTS, Variant

HERE = Path(__file__).parent
LOCK = ROOT / "examples/shop/uv.lock"
EXTRA = (HERE / "stores.txt", ROOT / "roles/app_release/files/bandit.txt")
UV = ROOT / "roles/app_release/files/uv.txt"
DOMAINS = ["shop.example.com", "www.shop.example.com"]


def _requirements(uv: Path) -> str:
    """The shop's lock, as pip reads it; uv knows which of its packages are for this Python."""
    return subprocess.run([uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--project", LOCK.parent],
                          check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def venv() -> Path:
    """A venv with what the shop's lock names, made once per lock, and bandit."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in (LOCK, *EXTRA)) + sys.version.encode()).hexdigest()[:16]
    place = ROOT / "build/preflight" / digest
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "compiled").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
            subprocess.run([place / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                            "--require-hashes", "-r", UV], check=True)
            (place / "shop.txt").write_text(_requirements(place / "bin/uv"))
            for file in (place / "shop.txt", *EXTRA):
                subprocess.run([place / "bin/uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", place / "bin/python", "--no-deps",
                                "--require-hashes", "-r", file], check=True)
            (place / "compiled").touch()
    return place


# Modules that the examples import. Importing them, and compiling the inspector, takes longer than the inspection.
PACKAGES = ("flask", "flask_limiter", "flask_wtf.csrf", "marshmallow", "redis", "werkzeug.middleware.proxy_fix")
SERVER = """
import importlib, json, os, runpy, sys
sys.path[0] = sys.argv[1]
for name in sys.argv[2:]:
    importlib.import_module(name)
del sys.path[0]
for line in sys.stdin:
    run = json.loads(line)
    child = os.fork()
    if not child:
        os.chdir(run["cwd"])
        os.environ.clear()
        os.environ.update(run["env"])
        for number, path in ((0, os.devnull), (1, run["stdout"]), (2, run["stderr"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
        sys.argv = run["argv"]
        runpy.run_path(sys.argv[0], run_name="__main__")
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Interpreter:
    """Runs a program as `python PROGRAM …`, in a fork of a process that has imported it and the packages of the examples."""

    def __init__(self, venv: Path, program: Path) -> None:
        self.server = subprocess.Popen([venv / "bin/python", "-c", SERVER, program, main.__name__, *PACKAGES], text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"})

    def run(self, argv: list[Any], cwd: Path, env: dict[str, str], output: Path) -> subprocess.CompletedProcess[str]:
        """Run it; what it printed is kept below `output`."""
        stdout, stderr = output / "stdout", output / "stderr"
        run = {"argv": [str(word) for word in argv], "cwd": str(cwd), "env": env, "stdout": str(stdout), "stderr": str(stderr)}
        assert self.server.stdin and self.server.stdout
        self.server.stdin.write(json.dumps(run) + "\n")
        self.server.stdin.flush()
        assert select.select([self.server.stdout], [], [], 60)[0], f"{argv} takes longer than a minute"
        return subprocess.CompletedProcess(argv, int(self.server.stdout.readline()), stdout.read_text(), stderr.read_text())

    def end(self) -> None:
        """End the server."""
        self.server.kill()
        self.server.communicate()


class Host:
    """Where the applications of the tests are, and what runs the inspector on them."""

    def __init__(self, venv: Path, root: Path) -> None:
        self.venv, self.root = venv, root
        self.key = secrets.token_hex(32)
        self.inspector = root / "inspector.zip"
        self.inspector.write_bytes(inspector_zip())
        self.interpreter = Interpreter(venv, self.inspector)

    def inspect(self, source: Path, wsgi: str, env: dict[str, str | None], new_process: bool = False, **question: Any) -> dict[str, Any]:
        """The inspector's answer; its standard output must be one JSON document. `new_process` runs it as a host does."""
        source.mkdir(parents=True, exist_ok=True)
        asked = {"wsgi": wsgi, "source": str(source), "domains": DOMAINS, "proxies": 1, "body_max_mb": 1,
                 "account": "shop", **question}
        state = source.parent / f"{source.name}.state"
        state.mkdir(mode=0o700)
        (state / "question.json").write_text(json.dumps(asked))
        whole = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "STATE_DIRECTORY": str(state), "FLASK_SECRET_KEY": self.key,
                 "FLASK_TRUSTED_HOSTS": json.dumps(DOMAINS), "PYTHONDONTWRITEBYTECODE": "1", **env}
        argv, env = [self.inspector, state / "question.json"], {name: value for name, value in whole.items() if value is not None}
        if new_process:
            done = subprocess.run([self.venv / "bin/python", *argv], cwd=source, capture_output=True, text=True, check=False, timeout=60, env=env)
        else:
            done = self.interpreter.run(argv, source, env, state)
        assert done.returncode == 0, done.stderr
        assert self.key not in done.stdout
        return json.loads(done.stdout)

    def example(self, variant: Variant) -> Path:
        """A copy of an example with the variant's changes."""
        source = self.root / variant.name
        shutil.copytree(ROOT / "examples" / variant.base, source, ignore=shutil.ignore_patterns("__pycache__", ".venv", "tests"))
        for path, changes in variant.patches.items():
            text = (source / path).read_text()
            for search, replacement in changes.items():
                assert search in text, f"{variant.name}: {path} has no {search!r}"
                text = text.replace(search, replacement)
            (source / path).write_text(text)
        for path, text in variant.files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text.replace("{KEY}", self.key))
        return source

    def of(self, variant: Variant, new_process: bool = False) -> dict[str, Any]:
        """The inspector's answer about a variant."""
        wsgi = {"shop": "shop:create_app()", "minimal": "minimal:app"}[variant.base]
        return self.inspect(self.example(variant), wsgi, variant.env, new_process, **variant.question)

    def program(self, name: str, files: dict[str, str], wsgi: str, env: dict[str, str | None] | None = None, **question: Any) -> dict[str, Any]:
        """The inspector's answer about an application written for one test."""
        source = self.root / name
        for path, text in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
        return self.inspect(source, wsgi, env or {}, **question)


@pytest.fixture(scope="session")
def host(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(venv, tmp_path_factory.mktemp("preflight"))
    yield host
    host.interpreter.end()


@pytest.fixture(scope="session")
def answers(host: Host, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """The inspector's answer about a variant; each is asked for once, whichever worker of this run needs it first."""
    place = tmp_path_factory.getbasetemp()
    place = (place.parent if hasattr(request.config, "workerinput") else place) / "answers"
    place.mkdir(exist_ok=True)
    variants = {variant.name: variant for variant in VARIANTS}

    def answer(name: str) -> dict[str, Any]:
        with open(place / name, "a+") as stored:
            fcntl.flock(stored, fcntl.LOCK_EX)
            stored.seek(0)
            if not (text := stored.read()):
                text = json.dumps(host.of(variants[name]))
                stored.write(text)
        return json.loads(text)

    return answer
