"""A folder on a file system of its own, made full, read-only, slow and taken away; where none can be mounted, away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.chaos.volume import HELD_S, Volume


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    made = Volume(tmp_path, "images")
    made.create()
    yield made
    made.remove()


@pytest.fixture
def mounted(volume: Volume) -> Volume:
    if not volume.mounted:
        pytest.skip("no file system can be mounted here")
    return volume


def write(volume: Volume) -> None:
    (volume.link / "file").write_bytes(b"x" * 100_000)


def test_what_was_there_is_there_again_after_it_was_away(volume: Volume):
    write(volume)
    with volume.away() as met:
        assert met
        with pytest.raises(OSError, match="directory"):
            write(volume)
    assert (volume.link / "file").stat().st_size == 100_000


def test_a_full_one_takes_no_byte(mounted: Volume):
    with mounted.full() as met:
        assert met
        with pytest.raises(OSError, match="space"):
            write(mounted)
    write(mounted)


def test_a_read_only_one_is_written_again_afterwards(mounted: Volume):
    with mounted.read_only() as met:
        assert met
        with pytest.raises(OSError, match="Read-only"):
            write(mounted)
    write(mounted)


def test_a_slow_one_is_slow_and_written(mounted: Volume):
    longest, end = 0.0, time.monotonic() + 20
    with mounted.slow() as met:
        assert met
        while longest < HELD_S / 2 and time.monotonic() < end:
            began = time.monotonic()
            write(mounted)
            longest = max(longest, time.monotonic() - began)
    assert longest >= HELD_S / 2
    write(mounted)
