"""An application that takes all it can get takes it from itself, not from its neighbours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from attackers import in_application
from host.plugin import Server
from host.waiting import wait_until

# They begin together, and end by themselves.
SECONDS = 15
LOOPS = r'''
import os, sys, time
begin = time.monotonic() + 3
end = begin + float(sys.argv[2])
for _ in range(int(sys.argv[1])):
    try:
        if not os.fork():
            break
    except OSError:
        break
time.sleep(begin - time.monotonic())
while time.monotonic() < end:
    pass
'''
START = "subprocess.Popen([sys.executable, '-c', *GIVEN['loops']], start_new_session=True); print('{}')"
# As root sees them, so that nothing depends on what the application says.
TASKS = "systemctl show --property=TasksCurrent --property=TasksMax --value 'gunicorn-hostile@*.service'"
# It writes to each page, until the kernel ends it.
TAKE = "held = []\nwhile True: held.append(b'x' * 2**20)"
MEMORY = r'''
taken = subprocess.run([sys.executable, "-c", GIVEN["take"]], capture_output=True)
print(json.dumps(taken.returncode))
'''


def served(server: Server, clients: int = 4, seconds: float = 5) -> int:
    """How many requests a neighbour serves to clients that send the next one at once."""
    site, end = server.site("notes"), time.monotonic() + seconds

    def client(_number: int) -> int:
        count = 0
        while time.monotonic() < end:
            assert site.get("/healthz").status == 200
            count += 1
        return count

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(client, range(clients)))


def tasks(server: Server) -> tuple[int, int]:
    """The processes and threads of the hostile application, and their limit."""
    current, limit = server.host.check_output(TASKS).split()
    return int(current), int(limit)


@contextmanager
def busy(server: Server, loops: int) -> Iterator[int]:
    """Loops without an end in the hostile application; gives how many tasks it then has, and waits until they have ended."""
    before, _limit = tasks(server)
    in_application(server, START, loops=[LOOPS, str(loops), str(SECONDS)])
    time.sleep(4)
    try:
        yield tasks(server)[0] - before
    finally:
        # Also where the test fails: the next one would measure them too.
        wait_until(lambda: tasks(server)[0] < before + 20, 4 * SECONDS, "the loops have ended")


def test_two_hundred_busy_loops_leave_a_neighbour_its_share_of_the_cpu(server: Server) -> None:
    before = served(server)
    with busy(server, 200) as loops:
        assert loops > 150
        beside = served(server)
    # Half of the CPU is its share. Without weights it would be less than a twentieth.
    assert beside > 0.25 * min(before, served(server)), f"{beside} requests beside the loops, {before} before them"


def test_the_number_of_processes_has_a_limit(server: Server) -> None:
    current, limit = tasks(server)
    with busy(server, limit + 100) as loops:
        assert 0 < loops <= limit - current
        assert server.site("notes").get("/healthz").status == 200


@pytest.fixture
def limited(server: Server) -> Iterator[int]:
    """A limit of memory that a test can reach, in bytes, as `memory_max_mb` would set it."""
    unit = server.host.check_output("systemctl list-units --plain --no-legend 'gunicorn-hostile@*.service' | cut -d' ' -f1")
    before = server.host.check_output(f"systemctl show --property=MemoryMax --value {unit}")
    server.host.check_output(f"systemctl set-property --runtime {unit} MemoryMax=300M")
    yield 300 * 2**20
    server.host.check_output(f"systemctl set-property --runtime {unit} MemoryMax={before}")


def test_memory_beyond_the_limit_ends_a_process_of_the_application_alone(server: Server, limited: int) -> None:
    total = int(server.host.check_output("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) * 1024
    default = server.host.check_output("systemctl show --property=MemoryMax --value 'flask_apps.slice'")
    assert int(default) < 0.8 * total
    assert in_application(server, MEMORY, take=TAKE) == -9
    assert int(server.host.check_output("systemctl show --property=MemoryCurrent --value 'gunicorn-hostile@*.service'")) <= limited
    for app in ("hostile", "notes", "shop"):
        assert server.site(app).get("/healthz").status == 200
