"""Missing packages are recognised in the output of a build, and reported with the setting to write."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.hints import hint, library, python_requirement


@pytest.mark.parametrize(("text", "packages"), [
    ("Error: pg_config executable not found.", "libpq-dev, gcc, python3-dev"),
    ("Exception: Can not find valid pkg-config name.\nTrying pkg-config --exists mysqlclient\nCommand 'pkg-config --exists mysqlclient' returned",
     "default-libmysqlclient-dev, pkg-config, gcc, python3-dev"),
    ("Error: Please make sure the libxml2 and libxslt development packages are installed.", "libxml2-dev, libxslt1-dev, gcc, python3-dev"),
    ("The headers or library files could not be found for jpeg,", "libjpeg-dev, zlib1g-dev, gcc, python3-dev"),
    ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "gcc, python3-dev"),
    ("error: [Errno 2] No such file or directory: 'gcc'", "gcc, python3-dev"),
    ("../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]", "gcc, python3-dev"),
    ('    raise Exception("you need a C compiler to build uWSGI")', "gcc, python3-dev"),
    ("src/_cffi.c:50:14: fatal error: Python.h: No such file or directory", "python3-dev, gcc"),
    ("misaka._hoedown.c:55:14: fatal error: pyconfig.h: No such file or directory", "python3-dev, gcc"),
    ("c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory", "libffi-dev, gcc, python3-dev"),
    ("error: can't find Rust compiler", "cargo, gcc"),
    ("Git executable not found. Ensure that Git is installed and available.", "git"),
    ("/bin/sh: 1: npm: not found", "npm"),
    ("Modules/LDAPObject.c:17:10: fatal error: lber.h: No such file or directory", "libldap-dev, libsasl2-dev, gcc, python3-dev"),
    ("pg_config executable not found\nunable to execute 'gcc': No such file or directory", "libpq-dev, gcc, python3-dev"),
])
def test_the_error_of_a_missing_library_lists_its_packages(text: str, packages: str) -> None:
    assert hint(f"Building x\n{text}\nmore").endswith(f"write app_release: {{packages: [{packages}]}}")
    assert hint(text).count("\n") == 1


def test_an_unknown_header_and_program_are_named() -> None:
    assert "lacks the header rocksdb/c.h: find the package" in hint("a.c:1:10: fatal error: rocksdb/c.h: No such file or directory")
    assert "no program pybabel2: write" in hint("sh: 1: pybabel2: not found")


def test_a_dependency_above_the_source_is_told() -> None:
    assert "write subdirectory: " in hint("cause: `/srv/shop/releases/20261129-044728-efad0e62` does not appear to be a Python project, as neither")


@pytest.mark.parametrize("text", ["ERROR: No matching distribution found for flask==99", "SyntaxError: invalid syntax", "Using Python 3.11.2", ""])
def test_other_failures_have_no_hint(text: str) -> None:
    assert hint(text) == ""


@pytest.mark.parametrize(("text", "line"), [
    ("ImportError: libpq.so.5: cannot open shared object file: No such file or directory", "write app_release: {packages: [libpq5]}"),
    ("ImportError: failed to find libmagic.  Check your installation", "write app_release: {packages: [libmagic1]}"),
    ("ImportError: libGL.so.1: cannot open shared object file", "write app_release: {packages: [libgl1]}"),
    ("OSError: cannot load library 'libpango-1.0-0': libpango-1.0-0: cannot open shared object file", "write app_release: {packages: [libpango-1.0-0]}"),
    ("ImportError: librare.so.2: cannot open shared object file", "no library librare: find its Debian package"),
])
def test_a_missing_library_has_its_package(text: str, line: str) -> None:
    assert line in library(text)[0]


def test_a_refused_download_names_the_setting() -> None:
    assert "download_credentials" in hint("error: HTTP status client error (401 Unauthorized) for url (https://pypi.example.com/simple/own/)")
    text = ("Because own was not found in the package registry\nhint: An index URL (https://pypi.example.com/simple) could not be queried due to a "
            "lack of valid authentication credentials (401 Unauthorized)")
    assert "download_credentials" in hint(text) and "No index" not in hint(text)


def test_a_package_that_no_index_has_names_the_setting() -> None:
    assert "No index has ownpkg: " in hint("  x Because ownpkg was not found in the package\n  registry and you require ownpkg==1.0, we can conclude")


@pytest.mark.parametrize(("text", "asked"), [
    ("error: The requested interpreter resolved to Python 3.11.2, which is incompatible with the project's Python requirement: `>=3.12`", ">=3.12"),
    ("Because the current Python version (3.11.2) does not satisfy Python>=3.12 and x==1 depends on Python>=3.12", ">=3.12"),
    ("error: something else", ""),
])
def test_the_requested_python_is_found(text: str, asked: str) -> None:
    assert python_requirement(text) == asked


@pytest.mark.parametrize("text", [
    "error: Failed to build `grpcio`\n  Call to `setuptools.build_meta.build_wheel` failed (signal: 9 (SIGKILL))",
    "c++: fatal error: Killed signal terminated program cc1plus", "sh: line 1:\nKilled\nmore", "OSError: [Errno 12] Cannot allocate memory",
    "flask-build-shop.service: Main process exited, code=killed, status=9/KILL",
    "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"])
def test_a_build_that_was_killed_lacks_memory(text: str) -> None:
    assert "add memory or swap space" in hint(text)
