"""Threads that wait for a job: each stream of events holds one, and so does each call that answers with images.

There are so many places, so that other threads are left for pages and submissions.
"""

from __future__ import annotations

import threading

from flask import request

PLACES = 48
SLOTS = threading.BoundedSemaphore(PLACES)
POLL_S = 1.0  # between two looks at the database
LEAVING = threading.Event()  # set when the server is told to stop: streams end, their clients come back elsewhere


def client_is_gone() -> bool:
    """Whether the client of this request has hung up, as far as the server knows."""
    gone = request.environ.get("waitress.client_disconnected")
    return bool(gone and gone())
