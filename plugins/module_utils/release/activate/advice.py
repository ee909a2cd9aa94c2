"""The line that cures a failure of an application which its output shows. No Ansible imports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

NO_TABLES = re.compile(r"no such table|relation \"[^\"]+\" does not exist|Table '[^']+' doesn't exist", re.IGNORECASE)
MAKES_TABLES = re.compile(r"init|create|setup|install|migrate|upgrade", re.IGNORECASE)
PROGRAM = re.compile(r"No such file or directory: '([\w.-]+)'|(?:^|\s)(?:/bin/)?sh: \d+: ([\w.-]+): not found|/usr/bin/env: .([\w.-]+).: No such file"
                     r"|(?:The|Bad) (git) executable")
# What applications call at run time, and the Debian package that brings it.
PACKAGES = {"git": "git", "ffmpeg": "ffmpeg", "convert": "imagemagick", "magick": "imagemagick", "pandoc": "pandoc", "dot": "graphviz",
            "node": "nodejs", "npm": "npm", "tesseract": "tesseract-ocr", "pdftotext": "poppler-utils", "pdftoppm": "poppler-utils", "gs": "ghostscript",
            "xmlsec1": "xmlsec1", "gpg": "gnupg", "rg": "ripgrep", "exiftool": "libimage-exiftool-perl", "msgfmt": "gettext", "sqlite3": "sqlite3"}

# A module that a package imports; of the application's own modules, only one of the table: others may be its own files.
NO_MODULE = re.compile(r"(?P<package>/site-packages/[^\n]+\n(?:[^\n]*\n){0,2}?)?\s*ModuleNotFoundError: No module named '(?P<name>\w+)")
# Modules whose package has another name, those that Python no longer has included.
MODULES = {"bs4": "beautifulsoup4", "cgi": "legacy-cgi", "Crypto": "pycryptodome", "cv2": "opencv-python-headless", "dateutil": "python-dateutil",
           "distutils": "setuptools", "dotenv": "python-dotenv", "imghdr": "standard-imghdr", "jwt": "PyJWT", "ldap": "python-ldap",
           "magic": "python-magic", "MySQLdb": "mysqlclient", "OpenSSL": "pyOpenSSL", "PIL": "pillow", "pipes": "standard-pipes",
           "pkg_resources": "setuptools<81", "psycopg2": "psycopg2-binary", "sklearn": "scikit-learn", "yaml": "PyYAML"}
MISSING = re.compile(r"No such file or directory: b?'(/[^'\n]+)'")


def directories(text: str, state: str) -> str:
    """What to write when a directory below the state directory is not there yet; otherwise empty."""
    places = [path.parent if path.suffix else path for path in map(PurePosixPath, MISSING.findall(text)) if PurePosixPath(state) in path.parents]
    names = " ".join(dict.fromkeys(str(path) for path in places if path != PurePosixPath(state) and re.fullmatch(r"[\w./@+-]+", str(path))))
    return f"Its directory is not there yet. Make it; in its entry of flask_apps:\n  app_release: {{prepare_once: [mkdir -p {names}]}}" if names else ""


def python_packages(text: str) -> str:
    """What to write when a Python package is missing that the dependencies do not name; otherwise empty."""
    found = [(match["name"], match["package"]) for match in NO_MODULE.finditer(text)]
    listed = ", ".join(dict.fromkeys(MODULES.get(name, name.replace("_", "-")) for name, package in found if package or name in MODULES))
    return f"Its dependencies lack a package. In its entry of flask_apps:\n  app_release: {{python_packages: [{listed}]}}" if listed else ""


def packages(text: str) -> str:
    """What to write when a program of Debian is missing; otherwise empty."""
    names = [next(filter(None, groups)) for groups in PROGRAM.findall(text)]
    listed = ", ".join(dict.fromkeys(PACKAGES[name] for name in names if name in PACKAGES))
    return f"The host lacks what it calls. In its entry of flask_apps:\n  app_release: {{packages: [{listed}]}}" if listed else ""


def tables(text: str, commands: Sequence[str]) -> str:
    """What to write when the database has no tables yet; otherwise empty.

    :param commands: the application's own commands of `flask`
    """
    if not NO_TABLES.search(text):
        return ""
    if "db" in commands:  # Flask-Migrate
        line = "app_release: {pre_activate: [flask db upgrade]}"
    else:
        name = next((command for command in commands if MAKES_TABLES.search(command)), "init-db")
        line = f"app_release: {{prepare_once: [flask {name}]}}"
    known = f" The application's own commands: {', '.join(commands)}." if commands else ""
    return f"The database has no tables. Make them before the release serves; in its entry of flask_apps:\n  {line}\n{known}".rstrip()
