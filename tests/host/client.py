"""A client that connects to a site all the time."""

from __future__ import annotations

import threading
from typing import Any


class SteadyClient(threading.Thread):
    """Sends ten requests per second, each over a new connection, and records failures."""

    def __init__(self, site: Any) -> None:
        super().__init__(daemon=True)
        self.site, self.answers, self.failures = site, 0, []
        self.stopped = threading.Event()

    def run(self) -> None:
        """Until stopped."""
        while not self.stopped.wait(0.1):
            try:
                answer = self.site.get(self.site.app.health_path)
                self.answers += 1
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except Exception as error:  # any error would affect a client
                self.failures.append(repr(error))

    def stop(self) -> None:
        """Let the last request end."""
        self.stopped.set()
        self.join()
