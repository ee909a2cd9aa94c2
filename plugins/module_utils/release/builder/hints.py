"""What the output of a build means where it hides the cause, and what to write. No Ansible imports."""

from __future__ import annotations

import re

from ansible_collections.bulwark.flask.plugins.module_utils import clock

# What a failed build says, and the Debian packages that it lacks. The first that fits a line decides for this line.
PACKAGES: tuple[tuple[str, str], ...] = (
    (r"pg_config|libpq-fe\.h", "libpq-dev gcc"),
    (r"mysql_config|mysqlclient|mariadb_config|mysql\.h", "default-libmysqlclient-dev pkg-config gcc"),
    (r"xmlversion\.h|xslt-config|xml2-config|libxml2 and libxslt|libxml/.*\.h", "libxml2-dev libxslt1-dev gcc"),
    (r"xmlsec1|xmlsec/", "libxmlsec1-dev pkg-config gcc"),
    (r"jpeglib\.h|headers or library files could not be found for (?:jpeg|zlib)|RequiredDependencyException", "libjpeg-dev zlib1g-dev gcc"),
    (r"\bffi\.h|libffi", "libffi-dev gcc"),
    (r"openssl/\w+\.h|openssl-sys|directory of OpenSSL|libssl", "libssl-dev pkg-config gcc"),
    (r"ldap\.h|lber\.h", "libldap-dev libsasl2-dev gcc"),
    (r"sasl/sasl\.h", "libsasl2-dev gcc"),
    (r"krb5-config|gssapi/|gssapi\.h", "libkrb5-dev gcc"),
    (r"geos-config|geos_c\.h", "libgeos-dev gcc"),
    (r"gdal-config", "libgdal-dev g++"),
    (r"sqlite3\.h", "libsqlite3-dev gcc"),
    (r"\bcairo(?:\.h|\b.*not found)|Dependency \"cairo\"", "libcairo2-dev pkg-config gcc"),
    (r"zlib\.h", "zlib1g-dev gcc"),
    (r"yaml\.h", "libyaml-dev gcc"),
    (r"snappy-c\.h", "libsnappy-dev g++"),
    (r"curl-config|curl/curl\.h", "libcurl4-openssl-dev libssl-dev gcc"),
    (r"augeas\.h", "libaugeas-dev gcc"),
    (r"\b(?:Python|pyconfig)\.h", "python3-dev gcc"),
    (r"can't find Rust compiler|(?:cargo|rustc)\S* .*(?:not found|No such file|not installed)|metadata generation.*maturin", "cargo"),
    (r"(?:'|\b)(?:g\+\+|c\+\+|\S+-linux-gnu-g\+\+)'? ?(?:failed: No such file|: not found|.*No such file or directory)|unable to execute '\S*g\+\+'", "g++"),
    (r"unable to execute '\S*(?:gcc|cc|clang)'|command '\S*(?:gcc|cc|clang)' failed: No such|(?:gcc|\bcc|clang): (?:command )?not found|"
     r"No such file or directory: '\S*(?:gcc|cc|clang)'|Unknown compiler\(s\)|C compiler cannot|"
     r"need an? (?:working )?C compiler|C compiler (?:is |was )?(?:needed|required|missing|not found)|No CMAKE_C_COMPILER|linker `cc` not found", "gcc"),
    (r"pkg-config.*(?:not found|No such file|could not be)|[Dd]id not find pkg-config|Pkg-config.*not found", "pkg-config"),
    (r"(?:cmake|CMake).*(?:not found|must be installed|No such file)|Failed to find .*cmake", "cmake g++"),
    (r"\bmake: (?:command )?not found|No such file or directory: 'make'|unable to find.*\bmake\b", "make"),
    (r"[Gg]it executable.*not found|\bgit: (?:command )?not found|No such file or directory: 'git'|git: No such file", "git"),
    (r"\b(?:npm|npx): (?:command )?not found|No such file or directory: 'npm'", "npm"),
    (r"\b(?:node|nodejs): (?:command )?not found|env: .?node.?: No such file", "nodejs"),
    (r"\bmsgfmt: (?:command )?not found", "gettext"),
)
# Libraries that a package opens when it is imported.
LIBRARIES = {"pq": "libpq5", "mariadb": "libmariadb3", "mysqlclient": "libmariadb3", "magic": "libmagic1", "xml2": "libxml2", "xslt": "libxslt1.1",
             "GL": "libgl1", "cairo": "libcairo2", "geos_c": "libgeos-c1v5", "ldap": "libldap2", "xmlsec1": "libxmlsec1-openssl",
             "pango-1": "libpango-1.0-0", "pangoft2-1": "libpangoft2-1.0-0", "gobject-2": "libglib2.0-0", "gthread-2": "libglib2.0-0",
             "jpeg": "libjpeg62-turbo", "gomp": "libgomp1", "yaml-0": "libyaml-0-2", "snappy": "libsnappy1v5", "rdkafka": "librdkafka1"}
MISSING_LIBRARY = re.compile(r"\blib([\w+-]+?)(?:\.so|\.\d)[\w.]*: cannot open shared object file|cannot load library '?lib([\w+-]+?)(?:\.|')|"
                             r"failed to find lib(magic)")
HEADER = re.compile(r"fatal error: ([\w./+-]+\.h(?:pp)?): No such file")
PROGRAM = re.compile(r"(?:sh|bash): \d+: ([\w.+-]+): (?:command )?not found")
PYTHON = re.compile(r"incompatible with the project's Python requirement: `?([^`\n]+)`?|does not satisfy Python\s?((?:[<>=!~]=?[\d.*]+,?)+)")
REFUSED = re.compile(r"HTTP status client error \(40[13]|40[13] (?:Unauthorized|Forbidden)|Missing credentials|"
                     r"valid authentication credentials|authentication failed|could not read Username", re.IGNORECASE)
OUTSIDE = re.compile(r"`[^`\n]*/releases/[^/`\n]+` does not appear to be a Python project")
KILLED = re.compile(r"\bSIGKILL\b|\bsignal: 9\b|Killed signal|status=9/KILL|OOM killer|oom-kill|(?m:^Killed$)|"
                    r"Cannot allocate memory|\bMemoryError\b|heap out of memory")
UNKNOWN = re.compile(r"([A-Za-z0-9._-]+)\s+was not found\s+in\s+the\s+package\s+registry")


def _write(packages: str) -> str:
    return f"app_release: {{packages: [{', '.join(packages.split())}]}}"


def packages(text: str) -> list[str]:
    """The lines to write for what a build lacks."""
    needed: list[str] = []
    for line in text.splitlines():
        names = next((names for pattern, names in PACKAGES if re.search(pattern, line)), "")
        needed += [name for name in names.split() if name not in needed]
    if {"gcc", "g++"} & set(needed) and "python3-dev" not in needed:
        needed.append("python3-dev")  # an extension module needs Python's headers next
    if "cargo" in needed and "gcc" not in needed:
        needed.append("gcc")  # Rust links with it
    if needed:
        return [f"The build lacks programs or headers of Debian packages; write {_write(' '.join(needed))}"]
    if header := HEADER.search(text):
        return [f"The build lacks the header {header.group(1)}: find the package that has it (https://packages.debian.org, or apt-file search "
                f"{header.group(1)}), and write {_write('its-name gcc')}"]
    if program := PROGRAM.search(text):
        return [f"The host has no program {program.group(1)}: write its Debian package, such as {_write(program.group(1))}"]
    return []


def library(text: str) -> list[str]:
    """The line to write for a shared library that an import lacks."""
    missing = MISSING_LIBRARY.search(text)
    if missing is None:
        return []
    name = next(group for group in missing.groups() if group)
    package = LIBRARIES.get(name)
    return [f"The host has no library lib{name}; write {_write(package)}" if package else
            f"The host has no library lib{name}: find its Debian package (https://packages.debian.org), and write {_write('its-name')}"]


def hint(text: str) -> str:
    """Lines for failures whose output hides the cause, each on a line of its own."""
    messages = []
    if "No space left on device" in text:
        messages.append("The disk is full: make room, then run this again.")
    elif KILLED.search(text):
        messages.append("A program of the build was killed or got no memory, most likely because memory is short. A build may use three quarters of the "
                        "host's memory: add memory or swap space, or choose versions of the packages that have a wheel for this Python.")
    elif behind := clock.behind(text):
        messages.append(behind)
    elif "CERTIFICATE_VERIFY_FAILED" in text or "UnknownIssuer" in text or "invalid peer certificate" in text:
        messages.append("The server's certificate is not trusted: name the right file in ca_bundle.")
    elif "Temporary failure in name resolution" in text or "dns error" in text:
        messages.append("The host cannot resolve names.")
    elif "--require-hashes" in text and ("ditable" in text or "unnamed" in text):
        messages.append("A file with hashes cannot name the project itself (-e .): take the line out; the project is installed in any case.")
    elif OUTSIDE.search(text):
        messages.append("A dependency is a directory above the source: let source be the directory that has both, and write "
                        "subdirectory: the path of the application below it.")
    else:
        if REFUSED.search(text):
            messages.append("A server refused access; write app_release: {download_credentials: {its-host: token or user:password}}, in a vault.")
        elif unknown := UNKNOWN.search(text):
            messages.append(f"No index has {unknown.group(1)}: for a package of your own write app_release: {{extra_index_urls: [its index]}}.")
        messages += packages(text)
    return "".join(f"\n{line}" for line in messages)


def python_requirement(text: str) -> str:
    """The versions of Python that the project or one of its packages asks for, where that is why the build failed."""
    asked = PYTHON.search(text)
    return next((group.strip().rstrip(",") for group in asked.groups() if group), "") if asked else ""
