"""What holds for every site that uses the store, here with two."""

from test_sessions import *  # noqa: F403 - the suite's own tests, run in this scenario too
