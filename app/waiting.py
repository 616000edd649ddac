"""Threads that wait for a job: each stream of events holds one, and so does each call that answers with images.

A process has so many of them, so that others are left for pages and submissions.
"""

from __future__ import annotations

import threading

SLOTS = threading.BoundedSemaphore(10)
POLL_S = 1.0  # between two looks at the database
