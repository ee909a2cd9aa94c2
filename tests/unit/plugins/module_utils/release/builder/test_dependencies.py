"""The file of the dependencies, and its hashes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import dependencies
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.build import Build
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.places import Place
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options

DOWNLOADS, FOREIGN = Place(["NoExecPaths=/"], {"HERE": "downloads"}), Place([], {"HERE": "foreign"})
ALL = ["uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml", "setup.py"]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize("first", range(5))
def test_the_most_specific_lock_is_used(tmp_path: Path, first: int) -> None:
    for name in ALL[first:]:
        (tmp_path / name).write_text("")
    assert dependencies.plan(tmp_path, "auto").file == ALL[first]


def test_the_error_of_a_source_without_dependencies_has_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"none of uv\.lock, pylock\.toml, requirements\.txt, poetry\.lock, .* is there\. Add one"):
        dependencies.plan(tmp_path, "auto")


@pytest.mark.parametrize("wanted", ["missing.txt", "../outside.txt"])
def test_a_named_file_must_be_in_the_source(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "outside.txt").write_text("flask")
    (tmp_path / "src").mkdir()
    with pytest.raises(ReleaseError, match="has no file"):
        dependencies.plan(tmp_path / "src", wanted)


@pytest.mark.parametrize(
    ("text", "hashes"),
    [
        ("flask==3.1.3\n", False),
        ("flask==3.1.3 \\\n    --hash=sha256:aa\n", True),
        ("-r base.txt\n", True),
    ],
)
def test_hashes_are_found_in_the_file_and_in_what_it_includes(tmp_path: Path, text: str, hashes: bool) -> None:
    write(tmp_path, requirements__txt=text, base__txt="-r requirements.txt\nflask==3.1.3 --hash=sha256:aa\n")
    assert dependencies.plan(tmp_path, "auto").hashes is hashes


def test_a_link_out_of_the_source_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    write(tmp_path, outside__txt="--hash=")
    (tmp_path / "src/poetry.lock").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(ReleaseError, match="lists no dependencies"):
        dependencies.plan(tmp_path / "src", "auto")


def test_an_include_from_outside_of_the_source_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    write(tmp_path, base__txt="--hash=")
    write(tmp_path / "src", requirements__txt="-r ../base.txt")
    assert dependencies.plan(tmp_path / "src", "auto").hashes is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[project]\nname='x'\n", False), ("[build-system]\nrequires=[]\n", True), ("# [build-system]", False)],
)
def test_a_project_with_a_build_system_is_installed_too(tmp_path: Path, text: str, expected: bool) -> None:
    write(tmp_path, requirements__txt="", pyproject__toml=text)
    assert dependencies.plan(tmp_path, "auto").is_package is expected


def test_a_version_is_read_off_the_venv(tmp_path: Path) -> None:
    (tmp_path / "lib/python3.13/site-packages/gunicorn-27.0.1.dist-info").mkdir(parents=True)
    assert dependencies.installed_version(tmp_path, "gunicorn") == "27.0.1"
    assert dependencies.installed_version(tmp_path, "flask") is None


def test_files_with_another_name_are_offered(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/prod.txt").write_text("flask")
    with pytest.raises(ReleaseError, match=r"There is requirements/prod\.txt: write app_release: \{requirements: requirements/prod\.txt\}"):
        dependencies.plan(tmp_path, "auto")
    assert dependencies.plan(tmp_path, "requirements/prod.txt").kind == "requirements"


@pytest.mark.parametrize(("file", "groups", "extras", "fits"), [
    ("uv.lock", ["web"], ["pgsql"], True), ("pyproject.toml", ["web"], ["pgsql"], True), ("requirements.txt", [], ["pgsql"], False),
    ("pylock.toml", ["web"], [], False), ("requirements.txt", [], [], True),
])
def test_extras_and_groups_are_refused_where_a_file_has_none(tmp_path: Path, file: str, groups: list[str], extras: list[str], fits: bool) -> None:
    write(tmp_path, **{file.replace(".", "__"): ""})
    if fits:
        assert dependencies.plan(tmp_path, "auto", groups, extras).file == file
    else:
        with pytest.raises(ReleaseError, match=rf"app_release\.(extras|groups) has no meaning for {file}"):
            dependencies.plan(tmp_path, "auto", groups, extras)


def test_a_project_with_setup_py_alone_is_installed(tmp_path: Path) -> None:
    write(tmp_path, setup__py="")
    assert dependencies.plan(tmp_path, "auto")[:4] == ("setup.py", "pyproject", False, True)


@pytest.mark.parametrize("line", ["package-mode = false", "package = false"])
def test_a_project_that_is_not_a_package_is_not_built(tmp_path: Path, line: str) -> None:
    write(tmp_path, requirements__txt="", pyproject__toml=f"[tool.x]\n{line}\n[build-system]\nrequires = []\n")
    assert dependencies.plan(tmp_path, "auto").is_package is False


class Commands(Sandbox):
    """Remembers commands with their environment and the files that it names; fails those that contain a word."""

    ids = (os.getuid(), os.getgid())  # type: ignore[assignment]

    def __init__(self, folder: Path, failing: str = "", says: str = "error: Failed to build x") -> None:
        super().__init__("test", "test-build", 9)
        self.folder = self.runtime = folder
        self.failing, self.says = failing, says
        self.seen: list[tuple[list[str], dict[str, str]]] = []
        self.netrc = ""

    def run(self, argv: list[str], *, env: dict[str, str], step: str, check: bool = True, **_: Any) -> tuple[int, str]:  # type: ignore[override]
        self.seen.append((argv, env))
        self.netrc = Path(env["NETRC"]).read_text() if "NETRC" in env else ""
        if self.failing and self.failing in argv and not check:
            return 1, self.says
        if self.failing and self.failing in argv:
            raise ReleaseError(step, "Installing failed:\n  error: Failed to build x\n    cause: The build backend returned an error\n"
                                     "         error: Multiple top-level packages discovered in a flat-layout\n         hint: more")
        return 0, ""


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def installer(commands: Commands, make_options: Callable[..., Options], **changed: Any) -> dependencies.Installer:
    return dependencies.Installer(commands, commands.folder, commands.folder, make_options(**changed), DOWNLOADS, FOREIGN)


def test_extras_and_groups_reach_uv(commands: Commands, make_options: Callable[..., Options]) -> None:
    installer(commands, make_options, extras=["pgsql"], groups=["web"]).install(dependencies.Plan("uv.lock", "uv.lock", True, False))
    assert commands.seen[0][0][1:] == ["sync", "--locked", "--no-dev", "--no-editable", "--no-install-project", "--extra", "pgsql", "--group", "web",
                                           "--no-build"]


def test_further_indexes_come_first(commands: Commands, make_options: Callable[..., Options]) -> None:
    urls = ["https://pypi.example.com/simple", "https://other.example.com/simple"]
    installer(commands, make_options, extra_index_urls=urls).install_package("shop==1")
    assert commands.seen[0][1]["UV_INDEX"] == " ".join(urls)


def test_credentials_are_in_a_file_of_the_build_account_and_only_while_wheels_are_downloaded(
        commands: Commands, make_options: Callable[..., Options]) -> None:
    found = installer(commands, make_options)
    with found.access({"pypi.example.com": "hunter2", "git.example.com": "jo:hunter3"}):
        found.install_package("shop==1")
        folder = Path(commands.seen[0][1]["NETRC"]).parent
        assert commands.netrc.splitlines() == ["machine pypi.example.com login __token__ password hunter2",
                                               "machine git.example.com login jo password hunter3"]
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600} and folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "credentials").read_text().splitlines()[1] == "https://jo:hunter3@git.example.com"
    found.install_package("shop==1")
    assert not folder.exists() and "NETRC" not in commands.seen[1][1]
    assert "hunter" not in str(commands.seen)


def test_a_project_that_cannot_be_built_is_served_from_its_source(tmp_path: Path, make_options: Callable[..., Options]) -> None:
    failing = Commands(tmp_path, failing="--no-deps")
    with pytest.raises(ReleaseError, match="flat-layout"):
        installer(failing, make_options).install_project()
    (tmp_path / "shop").mkdir()
    (warning,) = installer(failing, make_options).install_project()
    assert warning == ("the project itself cannot be built and is served from its source (error: Multiple top-level packages discovered in a "
                       "flat-layout)")


def test_pointers_of_git_lfs_are_not_served(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static/logo.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n")
    (tmp_path / "README").write_text("version https://git-lfs.github.com is used here")
    with pytest.raises(ReleaseError, match=r"pointers of Git LFS, .*: static/logo\.png\. .*packages: \[git-lfs\]"):
        dependencies.refuse_pointers(tmp_path)
    (tmp_path / "static/logo.png").write_bytes(b"\x89PNG")
    dependencies.refuse_pointers(tmp_path)


def test_a_venv_is_made_with_the_versioned_interpreter_which_an_upgrade_of_the_distribution_keeps(tmp_path: Path) -> None:
    (tmp_path / "python3.11").touch()
    (tmp_path / "python3").symlink_to("python3.11")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to("../python3.11")
    assert dependencies.find_python(f"{tmp_path}/python3") == f"{tmp_path}/python3.11"
    assert dependencies.find_python(f"{tmp_path}/bin/python") == f"{tmp_path}/bin/python", "an installation of its own"


def test_a_version_is_an_interpreter_of_the_host() -> None:
    assert dependencies.find_python("/opt/python") == "/opt/python"
    assert dependencies.find_python("3.99") == "/usr/bin/python3.99"
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert os.path.basename(dependencies.find_python(own)) == f"python{own}"


def test_a_lock_of_another_tool_is_installed_from_a_file_outside_of_the_source(commands: Commands, make_options: Callable[..., Options]) -> None:
    found = installer(commands, make_options)
    found.folder = commands.folder / "src"
    found.folder.mkdir()
    found.install(dependencies.Plan("poetry.lock", "other", True, False, "flask==3.1.3 --hash=sha256:aa\n"))
    argv = commands.seen[0][0]
    assert argv[argv.index("-r") + 1] == f"{commands.folder}/exported-requirements.txt" and "--require-hashes" in argv
    assert not Path(argv[argv.index("-r") + 1]).exists()


def test_gunicorn_is_looked_for_on_the_same_indexes_with_the_same_credentials(commands: Commands, make_options: Callable[..., Options]) -> None:
    options = make_options(gunicorn_requirements="gunicorn==27.0.1 --hash=sha256:aa", extra_index_urls=["https://pypi.example.com/simple"])
    build = Build(options, {"package": "shop==1.0"}, None, {"pypi.example.com": "hunter2"})
    build.sandbox = commands
    build._install(dependencies.Installer(commands, commands.folder, commands.folder, options, DOWNLOADS, FOREIGN), commands.folder)  # noqa: SLF001
    installs = [env for argv, env in commands.seen if "install" in argv]
    assert len(installs) == 2 and all("NETRC" in env for env in installs)


def test_packages_of_the_operator_are_installed_after_the_dependencies_and_are_not_locked(commands: Commands, make_options: Callable[..., Options]) -> None:
    options = make_options(python_packages=["cachetools", "six==1.17.0"], gunicorn_requirements="")
    (commands.folder / "uv.lock").touch()
    build = Build(options, {"path": "shop"}, {"digest": "a", "note": {}})
    build.sandbox = commands
    facts = build._install(dependencies.Installer(commands, commands.folder, commands.folder, options, DOWNLOADS, FOREIGN), commands.folder)  # noqa: SLF001
    words = [argv[1:] for argv, _unused in commands.seen]
    locked, further = (next(number for number, argv in enumerate(words) if word in argv) for word in ("--locked", "cachetools"))
    assert locked < further and "six==1.17.0" in words[further]
    assert facts["hashes"] is False and "cachetools, six==1.17.0" in build.warnings[0]


@pytest.mark.parametrize("says", [
    "error: Failed to build x",
    "error: Distribution `uwsgi==2.0.31 @ registry+https://pypi.org/simple` can't be installed because it is marked as `--no-build` but has no "
    "binary distribution"])
def test_what_has_no_wheel_is_built_without_credentials_and_nothing_goes_back(tmp_path: Path, make_options: Callable[..., Options], says: str) -> None:
    commands = Commands(tmp_path, failing="--no-build", says=says)
    found = installer(commands, make_options)
    with found.access({"pypi.example.com": "hunter2"}):
        found.install_package("shop==1")
        found.install_package("gunicorn==1")
    assert [(env["HERE"], "NETRC" in env, "--no-build" in argv) for argv, env in commands.seen] == [
        ("downloads", True, True), ("foreign", False, False), ("foreign", False, False)]


def test_a_failure_that_no_build_can_cure_is_not_tried_again(tmp_path: Path, make_options: Callable[..., Options]) -> None:
    commands = Commands(tmp_path, failing="--no-build", says="error: Hash mismatch for flask")
    with pytest.raises(ReleaseError, match="Hash mismatch"):
        installer(commands, make_options).install_package("shop==1")
    assert len(commands.seen) == 1


def test_credentials_reach_builds_where_the_operator_allows_it(tmp_path: Path, make_options: Callable[..., Options]) -> None:
    commands = Commands(tmp_path, failing="--no-build")
    found = installer(commands, make_options, credentials_for_builds=True)
    with found.access({"pypi.example.com": "hunter2"}):
        found.install_package("shop==1")
    assert [(env["HERE"], "NETRC" in env) for _, env in commands.seen] == [("downloads", True), ("foreign", True)]


def test_packages_that_were_not_compiled_are_a_warning(commands: Commands, make_options: Callable[..., Options]) -> None:
    found = installer(commands, make_options)
    assert "compiled to bytecode" in found.compile()[0]
    package = found.venv / "lib" / "python3.13" / "site-packages" / "gunicorn" / "__pycache__"
    package.mkdir(parents=True)
    (package / "app.cpython-313.pyc").touch()
    assert found.compile() == []
