"""Outlives the process that makes a cluster: when that one ends, removes the cluster unless it was handed over or removed.

    python3 -m machines.janitor NAME PID
"""

import os
import select
import sys

from . import state
from .shell import Failure

ATTEMPTS = 5


def main(name: str, owner: int) -> None:
    """Waits for the owner's end; the kernel tells, however it ended."""
    try:
        descriptor = os.pidfd_open(owner)
    except ProcessLookupError:
        pass
    else:
        select.select([descriptor], [], [])
    for _ in range(ATTEMPTS):
        if not state.folder(name).exists() or not state.is_leftover(name):
            return
        try:
            state.remove(name)
        except Failure as failure:  # a busy host: each attempt waits for minutes
            print(failure, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
