"""A latent cache that is away costs nothing but its hits: every failure is a miss, and nobody waits long for it."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest

from tests.workers.waiting import eventually
from workers.latent_cache.cache import LatentCache
from workers.latent_cache.exact_index import ExactIndex
from workers.latent_cache.fetching import TOLERATED, Fetcher
from workers.latent_cache.store import FolderStore


class Outage(FolderStore):
    """A store that fails or hangs when told to."""

    error: Exception | None = None
    hangs = False

    def __init__(self, path):
        super().__init__(path)
        self.released = threading.Event()
        self.asked = 0

    def get(self, key):
        self.asked += 1
        if self.hangs:
            self.released.wait(60)
        if self.error is not None:
            raise self.error
        return super().get(key)

    def put(self, key, data):
        if self.error is not None:
            raise self.error
        super().put(key, data)


@pytest.fixture
def store(tmp_path):
    made = Outage(tmp_path)
    yield made
    made.released.set()


@pytest.fixture
def cache(store):
    one = np.eye(384, dtype=np.float32)[0]
    return LatentCache(ExactIndex(), store, limit_mb=10, embed=lambda prompt: one, timeout_s=0.2)


def redis_error():
    import redis

    return redis.exceptions.TimeoutError("Timeout reading from socket")


@pytest.mark.parametrize("error", [ConnectionError("refused"), OSError("no route"), redis_error(), ValueError("odd")])
def test_any_error_of_the_store_is_a_miss_and_the_request_runs_in_full(bench, cache, store, error):
    b = bench(cache=cache)
    b.submit("fox")
    b.run()
    store.error = error
    future = b.submit("fox", level="ac-8")
    b.run()
    assert future.result(0).steps_run == 20
    assert "run in full" in future.result(0).reason
    assert (cache.stats()["misses"], cache.stats()["errors"], cache.stats()["hits"]) == (1, 1, 0)


def test_an_index_that_fails_is_a_miss_too_and_nothing_is_stored_meanwhile(bench, cache):
    b = bench(cache=cache)
    cache.index.nearest = lambda *_: 1 / 0
    future = b.submit("fox", level="ac-8")
    b.run()
    assert future.result(0).steps_run == 20
    assert cache.stats()["errors"] == 1


def test_a_store_that_hangs_is_a_miss_after_the_timeout(bench, cache, store):
    b = bench(cache=cache)
    b.submit("fox")
    b.run()
    store.hangs = True
    future = b.submit("fox", level="ac-8")
    b.run()
    assert future.result(0).steps_run == 20
    assert cache.stats()["timeouts"] == 1


def test_others_are_encoded_while_a_look_up_hangs(bench, store):
    one = np.eye(384, dtype=np.float32)[0]
    patient = LatentCache(ExactIndex(), store, limit_mb=10, embed=lambda prompt: one, timeout_s=60)
    b = bench(cache=patient, threaded=True)
    b.engine.start()
    assert b.submit("fox").result(30).steps_run == 20
    eventually(lambda: len(patient.index) > 0)  # it is stored after its image is out
    store.hangs = True
    hanging = b.submit("fox", level="ac-8")
    assert b.submit("owl").result(30).steps_run == 20
    assert not hanging.done()
    store.released.set()
    assert hanging.result(30).steps_skipped == 8
    b.engine.stop()


def test_after_failures_in_a_row_the_store_is_left_alone_and_then_asked_by_one_request_at_a_time():
    now, counts, asked = [0.0], Counter(), []

    def look_up():
        asked.append(now[0])
        raise ConnectionError("refused")

    fetcher = Fetcher(counts, pause_s=5.0, clock=lambda: now[0])
    for _ in range(TOLERATED + 4):
        assert fetcher.fetch(look_up).result(10) is None
    assert (counts["errors"], counts["bypassed"]) == (TOLERATED, 4)
    now[0] = 6.0
    for _ in range(3):
        fetcher.fetch(look_up).result(10)
    assert (counts["errors"], counts["bypassed"]) == (TOLERATED + 1, 6)
    now[0] = 12.0
    assert [fetcher.fetch(lambda: "found").result(10) for _ in range(3)] == ["found"] * 3


def test_a_look_up_that_answers_after_its_timeout_changes_nothing():
    counts, go_on = Counter(), threading.Event()
    fetcher = Fetcher(counts, timeout_s=0.05)

    def late():
        go_on.wait(10)
        raise ConnectionError("reset")

    assert fetcher.fetch(late).result(10) is None
    go_on.set()
    assert fetcher.fetch(lambda: "found").result(10) == "found"
    assert counts == {"timeouts": 1}


def test_a_probe_shows_that_the_store_is_away_and_that_it_is_back_though_nobody_looks_up(bench, cache, store):
    b = bench(cache=cache)
    b.submit("fox")
    b.run()
    eventually(lambda: len(cache.index) > 0)
    cache._fetcher.pause_s = 0.0  # ask again at once
    store.error = ConnectionError("refused")
    for _ in range(TOLERATED):
        cache.probe()
    eventually(lambda: cache.stats()["away"])
    store.error = None
    fetched = len(cache.figures.fetch_s)
    cache.probe()
    eventually(lambda: not cache.stats()["away"])
    assert len(cache.figures.fetch_s) == fetched + 1
    assert cache.stats()["newest_fetch_s"] > 0
    assert cache.stats()["hits"] == cache.stats()["misses"] == 0, "nobody looked anything up"


def test_a_probe_leaves_a_store_alone_that_is_to_rest(store):
    now, counts = [0.0], Counter()
    fetcher = Fetcher(counts, pause_s=5.0, clock=lambda: now[0])
    for _ in range(TOLERATED):
        fetcher.failed()
    asked = []
    fetcher.probe(lambda: asked.append(now[0]))
    now[0] = 6.0
    fetcher.probe(lambda: asked.append(now[0]))
    eventually(lambda: asked == [6.0])
    eventually(lambda: not fetcher.away)
