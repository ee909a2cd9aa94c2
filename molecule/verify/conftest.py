"""Everything is in `suite`, which the tests of single scenarios use too."""

from suite import *  # noqa: F403
