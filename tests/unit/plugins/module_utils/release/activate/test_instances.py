"""Instances: the live one, those to remove, and open connections."""

import fcntl
import json
import os
import threading
import time

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate import health
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import Instances, file_state, open_connections
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.log_excerpt import explain


@pytest.fixture
def instances(tmp_path):
    found = Instances(tmp_path, os.getgid())
    for name in ("r1", "r2", "r3"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    return found


def test_no_instance_is_live_before_the_first(instances):
    assert instances.live() is None
    assert instances.all() == []


def test_an_activation_moves_one_link(instances):
    instances.create("r1", "r1")
    instances.make_live("r1")
    instances.create("r2", "r2")
    instances.make_live("r2")
    assert instances.live() == "r2"
    assert (instances.base / "current" / "release").resolve() == instances.releases / "r2"


def test_a_second_instance_of_a_release_has_a_name_of_its_own(instances):
    instances.create("r1", "r1")
    assert instances.next_name("r1") == "r1.2"
    assert instances.next_name("r2") == "r2"


def test_the_release_an_instance_runs_is_never_pruned(instances):
    instances.create("r1", "r1")
    assert instances.releases_to_prune(1) == ["r2"]
    assert instances.releases_to_prune(3) == []


def test_the_end_of_kept_connections_is_waited_for(instances):
    instances.create("r1", "r1")
    path = instances.folder / "r1" / "keepalive"
    assert path.stat().st_mode & 0o777 == 0o640
    worker = path.open()
    fcntl.flock(worker, fcntl.LOCK_SH)
    assert not instances.end_kept_connections("r1", 0.1)
    assert path.stat().st_mode & 0o777 == 0o600
    threading.Timer(0.2, fcntl.flock, (worker, fcntl.LOCK_UN)).start()
    began = time.monotonic()
    assert instances.end_kept_connections("r1", 5)
    assert 0.1 < time.monotonic() - began < 4
    instances.keep_connections("r1")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_server_that_reports_no_worker_has_none_to_wait_for(instances):
    instances.create("r1", "r1")
    assert instances.loaded("r1") == (0, 0)


def test_an_instance_of_an_earlier_version_has_kept_none(instances):
    instances.create("r1", "r1")
    (instances.folder / "r1" / "keepalive").unlink()
    instances.keep_connections("r1")
    assert instances.end_kept_connections("r1", 5)


def test_a_rewritten_file_has_another_identity(tmp_path):
    path = tmp_path / "env"
    path.write_text("A=1")
    before = file_state([str(path)])
    fresh = tmp_path / "new"
    fresh.write_text("A=2")
    fresh.replace(path)
    assert file_state([str(path)]) != before
    path.unlink()
    assert file_state([str(path)]) == {str(path): None}


def test_connections_are_counted_without_the_listener(tmp_path):
    table = tmp_path / "unix"
    row = "0000000000000000: 00000002 00000000 {flags} 0001 {state} 1 {path}\n"
    table.write_text("Num RefCount Protocol Flags Type St Inode Path\n"
                     + row.format(flags="00010000", state="01", path="/a.sock")
                     + row.format(flags="00000000", state="03", path="/a.sock")
                     + row.format(flags="00000000", state="03", path="/b.sock"))
    assert open_connections("/a.sock", str(table)) == 1


@pytest.mark.parametrize(("status", "expected", "good"), [(200, 0, True), (404, 0, True), (500, 0, False),
                                                           (200, 200, True), (302, 200, False)])
def test_the_health_check_expects_the_configured_status(status, expected, good):
    assert health.is_good(status, expected) is good


def test_the_traceback_of_the_application_is_shown():
    lines = ['{"message": "Starting gunicorn", "source": "gunicorn", "level": "info"}',
             '{"message": "Exception in worker process", "exception": "Traceback (most recent call last):\\n'
             '  File \\"/srv/shop/releases/r/venv/gunicorn/arbiter.py\\", line 1, in x\\n    load()\\n'
             '  File \\"/srv/shop/releases/r/src/app.py\\", line 1, in <module>\\n    raise RuntimeError(\\"no database\\")\\n'
             'RuntimeError: no database\\n"}']
    assert explain(lines, "/src/").splitlines() == [
        "Traceback (most recent call last):", '  File "/srv/shop/releases/r/src/app.py", line 1, in <module>',
        '    raise RuntimeError("no database")', "RuntimeError: no database"]


def test_a_log_without_an_exception_is_shown_by_its_end():
    assert explain(["plain", '{"message": "json"}'], "/src/") == "plain\njson"
    assert explain([], "/src/") == "(no output)"


def line(message: str, source: str = "app", level: str = "info", **more: str) -> str:
    return json.dumps({"message": message, "source": source, "level": level, **more})


def test_the_last_output_of_an_application_is_shown():
    start = [line("Starting gunicorn", "gunicorn"), line("Booting worker with pid: 7", "gunicorn"), line("connecting")]
    end = [line("Worker exiting (pid: 7)", "gunicorn"), line("no database", level="warning"), line("Worker (pid:7) exited with code 1.", "gunicorn", "error")]
    assert explain([*start, *end, *start, *end], "/src/").splitlines() == ["connecting", "no database", "Worker (pid:7) exited with code 1."]
    # An exception that it survived is not the reason.
    handled = line("retrying", level="error", exception="Traceback (most recent call last):\nOSError: refused\n")
    assert explain([*start, handled, *end], "/src/").splitlines() == [
        "Traceback (most recent call last):", "OSError: refused", "connecting", "no database"]
