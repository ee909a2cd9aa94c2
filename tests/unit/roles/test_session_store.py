"""session_store: configuration, and the applications with a store."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.tests.unit import support


def config(**given: object) -> list[str]:
    return support.render("session_store", "session-store.conf.j2", **given).splitlines()


def test_there_is_no_network_port() -> None:
    lines = config()
    assert "port 0" in lines
    assert not any(line.startswith(("bind", "tls-port")) for line in lines)


@pytest.mark.parametrize(("persistence", "lines"), [
    ("none", ['save ""', "appendonly no"]), ("snapshot", ["save 300 1", "appendonly no"]), ("append", ['save ""', "appendonly yes"])])
def test_persistence_is_configurable(persistence: str, lines: list[str]) -> None:
    found = config(session_store_persistence=persistence)
    assert [line for line in found if line.startswith(("save ", "appendonly "))] == lines
    unit = support.render("session_store", "session-store@.service.j2", session_store_persistence=persistence)
    assert ("ExecStartPre=/usr/bin/rm " in unit) == (persistence == "none")


def test_a_full_store_forgets_or_refuses() -> None:
    assert {"maxmemory 64mb", "maxmemory-policy allkeys-lru"} <= set(config())
    assert {"maxmemory 20mb", "maxmemory-policy noeviction"} <= set(config(session_store_memory_mb=20, session_store_when_full="refuse"))


def test_replies_that_no_client_reads_have_a_limit_per_client_and_for_all_clients() -> None:
    assert "client-output-buffer-limit normal 8mb 2mb 10" in config()
    assert "maxmemory-clients 32mb" in config()
    assert "maxmemory-clients 16mb" in config(session_store_memory_mb=20)


def test_the_unit_has_room_for_the_data_a_snapshot_and_connections_and_no_more() -> None:
    unit = support.render("session_store", "session-store@.service.j2")
    assert "MemoryMax=256M" in unit.splitlines()


def test_the_program_is_the_distributions() -> None:
    for distribution, name in (("13", "valkey"), ("12", "redis")):
        facts = {**support.FACTS, "distribution_major_version": distribution}
        unit = support.render("session_store", "session-store@.service.j2", ansible_facts=facts)
        assert f"ExecStart=@/usr/bin/{name}-check-rdb {name}-server /etc/session-store/session-store.conf --unixsocket" in unit


def test_valkey_reads_the_data_of_redis_8(tmp_path: Path) -> None:
    script = tmp_path / "from-redis"
    script.write_text(support.render("session_store", "session-store-from-redis.sh.j2"), encoding="utf-8")
    (tmp_path / "appendonlydir").mkdir()
    contents = {"dump.rdb": b"REDIS0012data\n\0\xff12345678", "appendonlydir/appendonly.aof.2.base.rdb": b"REDIS0012\xff12345678",
                "appendonlydir/appendonly.aof.1.base.rdb": b"REDIS0011\xff12345678"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for _unused in range(2):
        subprocess.run(["sh", str(script), str(tmp_path)], check=True)
    after = {name: (tmp_path / name).read_bytes() for name in contents}
    assert after == {"dump.rdb": b"REDIS0011data\n\0\xff" + bytes(8), "appendonlydir/appendonly.aof.2.base.rdb": b"REDIS0011\xff" + bytes(8),
                     "appendonlydir/appendonly.aof.1.base.rdb": b"REDIS0011\xff12345678"}
    assert len(list((tmp_path / "appendonlydir").iterdir())) == 2
    (tmp_path / "none").mkdir()
    subprocess.run(["sh", str(script), str(tmp_path / "none")], check=True)


def test_only_the_unit_of_valkey_converts() -> None:
    for distribution, expected in (("13", True), ("12", False)):
        facts = {**support.FACTS, "distribution_major_version": distribution}
        unit = support.render("session_store", "session-store@.service.j2", ansible_facts=facts)
        assert ("ExecStartPre=/usr/local/sbin/session-store-from-redis /var/lib/session-stores/%i" in unit.splitlines()) == expected
        files = support.role_vars("session_store", ansible_facts=facts)["__session_store_files"]
        assert ("/usr/local/sbin/session-store-from-redis" in [file["dest"] for file in files]) == expected


def test_there_is_no_password_and_no_command_beyond_the_applications_data() -> None:
    (line,) = [line for line in config() if line.startswith("user ")]
    assert line.startswith("user default on nopass ~* resetchannels -@all ")
    assert {"-@dangerous", "-@scripting"} < set(line.split())
    assert "unixsocketperm 600" in config()


def test_the_applications_that_ask_for_it_get_a_store() -> None:
    apps = {"shop": {"session_store": True}, "blog": {}, "wiki": {"session_store": False}}
    found = support.role_vars("session_store", flask_apps=apps)
    assert found["session_store_apps"] == ["shop"]
    assert found["__session_store_units"] == {
        "session-store@shop.service": {"restart_on": ["/etc/session-store/session-store.conf"],
                                       "paths": ["/run/session-stores/shop/session-store.sock", "/var/lib/session-stores/shop"]}}
    everywhere = support.role_vars("session_store", flask_apps=apps, flask_app_defaults={"session_store": True})
    assert everywhere["session_store_apps"] == ["shop", "blog"]
    assert support.role_vars("session_store")["session_store_apps"] == []


def test_an_application_starts_its_store_and_gets_the_address_if_its_entry_sets_session_store() -> None:
    def lines(**entry: object) -> list[str]:
        unit = support.render("gunicorn_app", "gunicorn.service.j2", support.SHOP | entry)
        return [line for line in unit.splitlines() if "session-store" in line]

    assert lines() == lines(session_store=False) == []
    assert lines(session_store=True) == ["Upholds=session-store@shop.service", "After=session-store@shop.service",
                                         "Environment=FLASK_SESSION_STORE_URL=unix:///run/session-stores/shop/session-store.sock"]
