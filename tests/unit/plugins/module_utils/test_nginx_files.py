"""nginx's configuration as its files have it, and what in files of others conflicts with ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import nginx_files

MAIN = nginx_files.MAIN
CATCH_ALL = "/etc/nginx/conf.d/00-catch-all.conf"
OURS = {
    MAIN: """http {
    server_tokens off; keepalive_timeout 30s; ssl_protocols TLSv1.3; access_log /var/log/nginx/access.log;
    types { text/javascript mjs; }
    include /etc/nginx/conf.d/*.conf; include sites-enabled/*;
}
""",
    CATCH_ALL: "server { listen 80 default_server; listen [::]:80 default_server; listen 443 ssl; }",
}
VARIABLES = {"keepalive_timeout": "nginx_server_keepalive_seconds", "listen": "nginx_server_catch_all: false"}
SITE = """# server_name commented.example.com;
server { listen 80; server_name "blog.example.com" www.blog.example.com; location / { return 200 'server_name a;'; } }
"""


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for folder in ("sites-enabled", "conf.d"):
        (tmp_path / "etc/nginx" / folder).mkdir(parents=True)
    (tmp_path / "etc/nginx/nginx.conf").write_text("http { include /etc/nginx/sites-enabled/*; include nginx.conf; }")
    return tmp_path


def conflicts(root: Path, *owned: str) -> list[str]:
    return nginx_files.conflicts(OURS, owned, VARIABLES, str(root))


def test_names_of_server_blocks_are_read_from_included_files(root: Path) -> None:
    (root / "etc/nginx/sites-enabled/old").write_text(SITE)
    names = list(nginx_files.server_names(root=str(root)))
    assert names == [("/etc/nginx/sites-enabled/old", "blog.example.com"), ("/etc/nginx/sites-enabled/old", "www.blog.example.com")]


def test_a_directive_has_its_line_and_the_blocks_around_it() -> None:
    text = "http {\n  server {\n    listen 80;\n  }\n  gzip on;\n}\n}\nuser a;"
    assert [(one.words[0], one.line, one.blocks, one.opens) for one in nginx_files.directives(text)] == [
        ("http", 1, (), True), ("server", 2, ("http",), True), ("listen", 3, ("http", "server"), False), ("gzip", 5, ("http",), False),
        ("user", 8, (), False)]


def test_all_conflicts_with_files_of_others_are_named_at_once(root: Path) -> None:
    (root / "etc/nginx/conf.d/tuning.conf").write_text("# ours was tuned\nserver_tokens on;\nkeepalive_timeout 65;\n")
    (root / "etc/nginx/sites-enabled/old").write_text("server {\n listen 0.0.0.0:80 default_server;\n listen 443 ssl default_server;\n}")
    assert conflicts(root) == [
        f"/etc/nginx/conf.d/tuning.conf, line 2: server_tokens is also in {MAIN}, and nginx refuses a directive that is there twice. "
        "Remove this line",
        f"/etc/nginx/conf.d/tuning.conf, line 3: keepalive_timeout is also in {MAIN}, and nginx refuses a directive that is there twice. "
        "Remove this line; nginx_server_keepalive_seconds changes its value",
        f"/etc/nginx/sites-enabled/old, line 2: this server is the default of *:80, and so is one of {CATCH_ALL}. "
        "Remove default_server here, or set nginx_server_catch_all: false, and this server gets the requests for unknown names"]


@pytest.mark.parametrize("text", [
    "server { server_tokens on; keepalive_timeout 5; listen 80; }",
    "server { listen 127.0.0.1:80 default_server; listen 8080 default_server; listen unix:/run/a default_server; }",
    "ssl_protocols TLSv1.2; access_log off; map $a $b { default 1; }", "types { a/b c; }", "gzip on;"])
def test_what_nginx_accepts_is_no_conflict(root: Path, text: str) -> None:
    (root / "etc/nginx/conf.d/own.conf").write_text(text)
    assert conflicts(root) == []


def test_a_directive_of_an_operators_template_may_be_there_twice(root: Path) -> None:
    (root / "etc/nginx/conf.d/proxies.conf").write_text("set_real_ip_from 192.168.0.0/16;")
    own = OURS[MAIN].replace("server_tokens off;", "set_real_ip_from 10.0.0.0/8;")
    assert nginx_files.conflicts({**OURS, MAIN: own}, (), VARIABLES, str(root)) == []


def test_files_of_this_collection_and_those_that_go_are_no_conflict(root: Path) -> None:
    path = "/etc/nginx/conf.d/ours.conf"
    (root / path[1:]).write_text("server_tokens on;")
    assert conflicts(root) and not conflicts(root, path)
    assert nginx_files.conflicts({**OURS, path: None}, (), VARIABLES, str(root)) == []


def test_a_file_that_is_yet_to_be_written_is_included(root: Path) -> None:
    (root / "etc/nginx/sites-enabled/old").write_text("server { listen 80 default_server; }")
    assert len(conflicts(root)) == 1
    assert nginx_files.conflicts({MAIN: OURS[MAIN]}, (), VARIABLES, str(root)) == []
