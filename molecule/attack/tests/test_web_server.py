"""The web server was taken over: root does nothing for it that it could not do itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attackers import as_account, in_web_server
from host.plugin import Server

# In each place where a program of root looks: a link to a file that root would create, or a pipe that root would wait for.
PLANT = r'''
def plant(path):
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(GIVEN["target"], path) if GIVEN["target"] else os.mkfifo(path)
    return "planted"
print(json.dumps({path: tried(lambda path=path: plant(path)) for path in GIVEN["paths"]}))
'''
TARGET = "/etc/attack-by-nginx"
PATHS = ("/run/nginx/nginx.pid", "/run/nginx.pid", "/var/log/nginx/error.log", "/var/log/nginx/access.log", "/var/log/nginx/attack.log",
         "/var/log/nginx/shop/access.log", "/var/lib/nginx/body", "/var/lib/nginx/proxy")
# What root does with the web server: the proof, a reload, a restart, the proof in its sandbox, the rotation of logs.
COMMANDS = ("nginx -t -q", "systemctl reload nginx", "nginx-test-in-sandbox", "logrotate --force /etc/logrotate.d/nginx", "systemctl restart nginx")
ATTACKERS: dict[str, Callable[..., Any]] = {
    "code in nginx": in_web_server,
    "another process of www-data": lambda *arguments, **given: as_account(*arguments, account="www-data", **given),
}


@pytest.fixture(scope="session", params=ATTACKERS)
def attacked(request: pytest.FixtureRequest, servers: list[Server]) -> dict[str, dict[str, Any]]:
    """By host: links are planted before each command of root."""
    told: dict[str, dict[str, Any]] = {}
    for server in servers:
        record = told[server.name] = {"planted": set(), "made": [], "failed": []}
        for command in COMMANDS:
            planted = ATTACKERS[request.param](server, PLANT, paths=PATHS, target=TARGET)
            record["planted"] |= {path for path, result in planted.items() if result == "planted"}
            if server.host.run(f"timeout 60 {command}").rc:
                record["failed"].append(command)
            if server.host.file(TARGET).exists:
                record["made"].append(command)
                server.host.check_output("rm -rf %s", TARGET)
    return told


def test_root_creates_no_file_for_the_web_server(server: Server, attacked: dict[str, dict[str, Any]]) -> None:
    assert attacked[server.name]["made"] == []


def test_the_web_server_can_put_no_link_where_root_looks(server: Server, attacked: dict[str, dict[str, Any]]) -> None:
    assert attacked[server.name]["planted"] == set()
    assert attacked[server.name]["failed"] == []


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_the_web_server_can_put_no_pipe_where_systemd_looks(server: Server, attacker: str) -> None:
    """systemd opens the PID file at each reload. It would wait for a writer, and the whole host with it."""
    planted = ATTACKERS[attacker](server, PLANT, paths=PATHS, target="")
    assert {path for path, result in planted.items() if result == "planted"} == set()


def test_a_false_process_number_reaches_no_other_process(server: Server) -> None:
    """systemd asks the kernel which process is the web server's, whatever is in its file."""
    lie = "print(json.dumps(tried(lambda: Path('/run/nginx/nginx.pid').write_text(GIVEN['pid'] + '\\n'))))"
    sleeper = server.host.check_output("systemd-run --quiet --unit=attack-sleeper sleep 600; systemctl show --value -p MainPID attack-sleeper").strip()
    try:
        assert isinstance(in_web_server(server, lie, pid=sleeper), int), "the attack did not reach the file"
        server.host.check_output("systemctl reload nginx")
        server.host.run("logrotate --force /etc/logrotate.d/nginx")
        server.host.check_output("systemctl restart nginx")
        assert server.host.check_output("systemctl show --value -p MainPID attack-sleeper").strip() == sleeper
    finally:
        server.host.run("systemctl stop attack-sleeper; systemctl reset-failed attack-sleeper; systemctl restart nginx")
