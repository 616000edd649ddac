"""A run of `bench.live`, kept for the simulator to run again.

`python -m bench.live.record FAMILY SINCE FILE` in the environment of a running Argus writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from core.database import transaction
from core.families import load_family
from core.tables import Job
from scheduler.observation.recording import record

TITLE = "bench.live"  # of the jobs that are the run


def main(words: Sequence[str]) -> None:
    family, since, out = words
    with transaction() as session:
        record(session, load_family(family), datetime.fromisoformat(since), Job.title == TITLE).write(Path(out))


if __name__ == "__main__":
    main(sys.argv[1:])
