"""wapiti at a limited rate: it would take responses of the rate limit for those of the application."""

from __future__ import annotations

import asyncio
import collections
import functools
import json
import sys
import time
from typing import Any

from wapitiCore.main.wapiti import wapiti_asyncio_wrapper
from wapitiCore.net.crawler import AsyncCrawler

# Below the default rate of a site, for what goes on beside it.
PER_SECOND = 18
statuses: collections.Counter[int] = collections.Counter()
# When the next request may go.
turn = 0.0
send = AsyncCrawler.async_send


@functools.wraps(send)
async def paced(self: AsyncCrawler, *arguments: Any, **options: Any) -> Any:
    """Wait for one's turn, send, and count."""
    global turn  # noqa: PLW0603 - one pace for all of its parts
    turn = max(turn + 1 / PER_SECOND, time.monotonic())
    await asyncio.sleep(turn - time.monotonic())
    answer = await send(self, *arguments, **options)
    statuses[answer.status] += 1
    return answer


AsyncCrawler.async_send = paced
wapiti_asyncio_wrapper()
print(json.dumps(statuses), file=sys.stderr)
