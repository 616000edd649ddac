"""Where files lie that an fsspec URL names: folders, buckets."""

from __future__ import annotations

from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem


def place_of(url: str) -> tuple[Any, str]:
    """The file system of an fsspec URL, and the path in it.

    What it listed before is not believed later: other processes write there, too, and a bucket's file system would say
    of their files that they are gone.
    """
    system, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return system, path


def failures_of(system: Any) -> type[Exception]:
    """What it raises where it does not answer: clients of buckets have errors of their own, which nobody translates."""
    return OSError if isinstance(system, LocalFileSystem) else Exception


def said_of(error: Exception) -> str:
    """In words what failed."""
    return str(getattr(error, "strerror", None) or error)
