"""Sees when promised requests become final, past the proxy: by the harness's clock, which no fault moves."""

from __future__ import annotations

import threading
import time

import psycopg2

from bench.chaos.ledger import Kept, Ledger
from bench.chaos.site import Site

LOOK_S = 0.5
QUERY = "SELECT id::text, state FROM request WHERE id = ANY(%s::uuid[]) AND state IN ('done', 'failed', 'cancelled')"


class Watch:
    """Looks every half second from `start` to `stop`."""

    def __init__(self, site: Site, ledger: Ledger) -> None:
        self.site, self.ledger = site, ledger
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch finals")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        """Note what has become final."""
        waiting = self.ledger.open()
        try:
            final = self.site.ask(QUERY, waiting) if waiting else []
        except psycopg2.Error:  # it is away: that is what is being tried
            return
        for request, state in final:
            self.ledger.add(Kept(request, state, time.time()))

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look()
