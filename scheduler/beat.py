"""Beat: publishes `Tick` and `Sweep` on time. Nothing else happens here.

::

    python -m scheduler.beat
"""

from __future__ import annotations

import sys

from celery import signals

from core.celery import celery_app
from core.log import set_up_logging
from core.settings import settings


def main() -> int:
    """Beat until told to stop."""
    set_up_logging()
    signals.setup_logging.connect(lambda **_: set_up_logging(), weak=False)
    settings().run_folder.mkdir(parents=True, exist_ok=True)
    celery_app().Beat(loglevel="INFO", quiet=True).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
