"""A constant TLS load that records every response."""

from __future__ import annotations

import math
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# nginx ends a connection after 1,000 requests, and h2load, when it keeps to a rate, does not go on over another.
PER_CONNECTION = 900


@dataclass(frozen=True)
class Request:
    """One request: when it began (seconds), its status (-1 for none), how long it took (seconds)."""

    began: float
    status: int
    took: float


class Load:
    """h2load against one site for as long as the block lasts; `rate` requests per second."""

    def __init__(self, site: Any, path: str = "/healthz", rate: int = 60, limit_seconds: int = 900) -> None:
        outside = site.server.outside
        clients = math.ceil(rate * limit_seconds / PER_CONNECTION)
        self.folder = tempfile.TemporaryDirectory()
        self.log = Path(self.folder.name) / "log"
        self.command = ["h2load", f"--connect-to={outside.address}:{outside.https_port}", f"--duration={limit_seconds}",
                        f"--clients={clients}", f"--rps={rate / clients}", "--h1", f"--log-file={self.log}", f"https://{site.domain}{path}"]
        self.requests: list[Request] = []

    def __enter__(self) -> Load:
        self.running = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 10
        while not (self.log.exists() and self.log.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.log.exists() and self.log.stat().st_size, "no load has begun"
        return self

    def __exit__(self, *_: object) -> None:
        ended = time.time()
        self.running.send_signal(signal.SIGINT)
        try:
            self.running.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait()
        self.requests = [Request(int(began) / 1e6, int(status), int(took) / 1e6) for began, status, took
                         in (line.split("\t") for line in self.log.read_text().splitlines() if line.count("\t") == 2)]
        self.folder.cleanup()
        assert self.requests[-1].began > ended - 10, f"the load was over {ended - self.requests[-1].began:.0f} s before the end"

    def failed(self) -> list[Request]:
        """Requests that did not get what they asked for."""
        return [request for request in self.requests if request.status != 200]


def percentile(requests: list[Request], share: float) -> float:
    """The time within which this share of requests was answered."""
    times = sorted(request.took for request in requests)
    return times[min(len(times) - 1, int(share * len(times)))]
