"""Approximate caching: what is kept, who may start from it, what leaves first, and what damage does."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest
import torch

from core.cached_latents import Kind
from core.errors import BadSettings, CacheEntryDamaged
from core.similarity import cosine_for, deepest
from tests.workers.waiting import eventually
from workers.latent_cache.cache import LatentCache
from workers.latent_cache.depths import kept_depths
from workers.latent_cache.entries import Entry
from workers.latent_cache.exact_index import ExactIndex
from workers.latent_cache.store import FolderStore, RedisStore, decode_entry, encode_entry, store_at
from workers.latent_cache.vector_index import VectorIndex

KIND = Kind("pencil", "large", "1", 4, 4, 20, "EulerDiscreteScheduler")


def near(cosine, seed=0):
    """Two unit vectors [384] of that similarity."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 384))
    a /= np.linalg.norm(a)
    b -= (a @ b) * a
    b /= np.linalg.norm(b)
    return a.astype(np.float32), (cosine * a + np.sqrt(1 - cosine**2) * b).astype(np.float32)


@pytest.fixture
def known():
    """Embeddings by prompt. The pencil's conditioning is the prompt's length: prompts as long draw the same."""
    fox, owl = near(0.93)
    return {"fox": fox, "owl": owl}


@pytest.fixture
def cache(tmp_path, known):
    return LatentCache(ExactIndex(), FolderStore(tmp_path), limit_mb=10, embed=lambda prompt: known[prompt])


def vector_index(services):
    from sqlalchemy import text

    from core.database import engine

    with engine().begin() as connection:
        connection.execute(text("DELETE FROM cached_latent"))
    return VectorIndex(engine())


@pytest.fixture(params=["exact", "pgvector"])
def index(request):
    if request.param == "exact":
        return ExactIndex()
    return vector_index(request.getfixturevalue("services"))


@pytest.mark.parametrize(("cosine", "k"), [(0.64, 0), (0.66, 5), (0.76, 10), (0.86, 15), (0.91, 20), (0.96, 25)])
def test_similarity_allows_the_depths_of_the_paper(cosine, k):
    assert deepest(cosine, skip=25, steps=50) == pytest.approx(k, abs=1.1)
    assert not k or cosine_for(deepest(cosine, 25, 50) / 50) < cosine
    assert deepest(cosine, skip=3, steps=50) <= 3


def test_latents_are_kept_at_the_depths_that_levels_start_from(bench):
    family = bench().family
    assert kept_depths(family, "large", 20) == {4, 8, 20}
    assert kept_depths(family, "large", 10) == {2, 4, 10}
    assert kept_depths(family, "small", 20) == {20}, "finished latents serve every model"


def test_a_similar_prompt_starts_from_the_cached_latent_and_ends_where_its_own_run_ends(bench, cache):
    b = bench(cache=cache)
    full = b.submit("fox", seed=1)
    b.run()
    hit = b.submit("owl", seed=2, level="ac-8")
    b.run()
    result = hit.result(0)
    assert (result.steps_skipped, result.steps_run) == (8, 12)
    assert result.cache_similarity == pytest.approx(0.93, abs=1e-3)
    assert result.fetch_s > 0
    # both prompts have one conditioning and Euler draws no noise: from x_8 on the runs agree, to fp16 of the entry
    assert np.abs(np.asarray(result.image).astype(int) - np.asarray(full.result(0).image)).max() <= 1


@pytest.mark.parametrize(("cosine", "skipped"), [(0.5, 0), (0.8, 4), (0.93, 8)])
def test_the_hit_starts_as_deep_as_similarity_allows(bench, cache, known, cosine, skipped):
    known["fox"], known["owl"] = near(cosine)
    b = bench(cache=cache)
    b.submit("fox")
    b.run()
    future = b.submit("owl", level="ac-8")
    b.run()
    assert future.result(0).steps_skipped == skipped
    assert (future.result(0).reason is None) == bool(skipped)


def test_the_level_bounds_the_depth_even_for_the_same_prompt(bench, cache):
    b = bench(cache=cache)
    b.submit("fox")
    b.run()
    future = b.submit("fox", level="ac-4")
    b.run()
    assert future.result(0).steps_skipped == 4


@pytest.mark.parametrize(("level", "steps"), [("ac-image", 20), ("ac-image", 10), ("ac-small", 20)])
def test_a_finished_latent_noised_again_serves_other_step_counts_and_other_models(bench, cache, level, steps):
    b = bench(models=2, cache=cache)
    b.submit("fox")
    b.run()
    future = b.submit("owl", level=level, steps=steps)
    b.run()
    result = future.result(0)
    assert (result.steps_skipped, result.steps_run) == (0.4 * steps, 0.6 * steps)
    assert result.model_id == b.family.level(level).model


@pytest.mark.parametrize("change", [{"steps": 30}, {"width": 8, "height": 8}])
def test_entries_of_another_size_or_step_count_are_not_used(bench, cache, change):
    b = bench(cache=cache)
    b.submit("fox")
    b.run()
    future = b.submit("fox", level="ac-8", **change)
    b.run()
    assert future.result(0).steps_skipped == 0


def test_without_a_cache_the_level_runs_in_full_and_says_so(bench):
    b = bench()
    future = b.submit("fox", level="ac-8")
    b.run()
    assert future.result(0).steps_run == 20
    assert "run in full" in future.result(0).reason


def spoil(folder, how):
    for file in folder.glob("*.safetensors"):
        file.write_bytes(how(file.read_bytes()))


@pytest.mark.parametrize(
    "how",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-3] + b"xyz",
        lambda data: b"junk" * 40,
    ],
    ids=["truncated", "empty", "altered", "junk"],
)
def test_a_damaged_entry_is_dropped_and_the_request_runs_in_full(bench, cache, tmp_path, how):
    b = bench(cache=cache)
    b.submit("fox")
    b.run()
    spoil(tmp_path, how)
    result = b.submit("fox", level="ac-8")
    b.run()
    assert result.result(0).steps_run == 20
    assert cache.stats()["damaged"] == 1


def test_a_poisoned_entry_that_passes_every_check_is_forgotten_and_the_request_runs_again(bench, cache, known):
    b = bench(cache=cache)
    clean = b.submit("fox", seed=3)
    b.run()
    entry = next(e for e in cache.index.nearest(KIND, known["fox"]).entries if e.k == 8)
    poisoned = torch.full((3, 4, 4), torch.finfo(torch.float16).max)
    cache.latents.put(entry.key, encode_entry(KIND, 8, known["fox"], poisoned))
    b.adapters["large"].forward = lambda x, t, c, run=b.adapters["large"].forward: run(x, t, c) / (x.abs() < 6e4)
    result = b.submit("fox", seed=3, level="ac-8")
    b.run()
    assert result.result(0).reason == "the cached latent was unusable: run in full"
    assert (np.asarray(result.result(0).image) == np.asarray(clean.result(0).image)).all()
    eventually(lambda: {e.k for e in cache.index.nearest(KIND, known["fox"]).entries} == {4})


def test_an_entry_of_another_shape_is_forgotten_and_the_request_runs_in_full(bench, cache, known):
    b = bench(cache=cache)
    b.submit("fox")
    b.run()
    entry = next(e for e in cache.index.nearest(KIND, known["fox"]).entries if e.k == 8)
    cache.latents.put(entry.key, encode_entry(KIND, 8, known["fox"], torch.zeros(3, 2, 2)))
    result = b.submit("fox", level="ac-8")
    b.run()
    assert result.result(0).steps_run == 20
    assert "has shape (3, 2, 2), not (3, 4, 4)" in result.result(0).reason
    eventually(lambda: entry.key not in {e.key for e in cache.index.nearest(KIND, known["fox"]).entries})


def test_a_nan_is_found_when_the_entry_is_read():
    vector, _ = near(1.0)
    data = encode_entry(KIND, 8, vector, torch.full((3, 4, 4), torch.nan))
    with pytest.raises(CacheEntryDamaged, match="not made of numbers"):
        decode_entry(data)


def test_an_entry_keeps_its_kind_depth_and_prompt():
    vector, _ = near(1.0)
    latent = torch.randn(3, 4, 4)
    kind, k, embedding, read = decode_entry(encode_entry(KIND, 8, vector, latent))
    assert (kind, k) == (KIND, 8)
    assert np.allclose(embedding, vector, atol=1e-3)
    assert torch.equal(read, latent.half())


def test_the_nearest_of_its_kind_is_found_with_all_its_latents(index):
    first, second = near(0.9)
    other = Kind(**{**KIND.__dict__, "steps": 50})
    index.add(KIND, first, [Entry("a-4", 4, 100), Entry("a-8", 8, 100)])
    index.add(KIND, near(0.0, seed=3)[0], [Entry("b-4", 4, 100)])
    index.add(other, second, [Entry("c-4", 4, 100)])
    match = index.nearest(KIND, second)
    assert match.similarity == pytest.approx(0.9, abs=2e-3)
    assert {entry.key for entry in match.entries} == {"a-4", "a-8"}
    assert index.nearest(Kind(**{**KIND.__dict__, "version": "2"}), second) is None
    assert (len(index), index.bytes()) == (4, 400)


def test_least_uses_times_steps_saved_leaves_first(index):
    for name in "abc":
        index.add(KIND, near(1.0, seed=ord(name))[0], [Entry(f"{name}-4", 4, 100), Entry(f"{name}-8", 8, 100)])
    for key in ("a-4", "a-4", "a-4", "b-8", "b-8", "c-8"):
        index.touch(key)
    assert [entry.key for entry in index.coldest(350)] == ["a-8", "b-4", "c-4", "c-8"]
    index.remove(["a-8", "b-4", "c-4", "c-8"])
    assert [entry.key for entry in index.coldest(10**9)] == ["a-4", "b-8"]
    assert index.nearest(KIND, near(1.0, seed=ord("c"))[0]).similarity < 0.5


def test_the_store_stays_under_its_limit(bench, tmp_path):
    cache = LatentCache(
        ExactIndex(), FolderStore(tmp_path), limit_mb=0.02, embed=lambda prompt: near(1.0, seed=int(prompt))[0]
    )
    b = bench(cache=cache)
    for n in range(12):
        b.submit(f"{n:03}")
    b.run()
    assert cache.stats()["evicted"] > 0
    assert 0 < sum(file.stat().st_size for file in tmp_path.iterdir()) <= 20_000
    assert cache.index.bytes() == sum(file.stat().st_size for file in tmp_path.iterdir())


def test_a_prompt_that_is_kept_already_is_not_kept_twice(bench, cache):
    b = bench(cache=cache)
    for seed in range(3):
        b.submit("fox", seed=seed)
        b.run()
    assert len(cache.index) == 3


def test_the_fetch_starts_while_the_request_waits(bench, cache):
    b = bench(cache=cache)
    started = []
    fetched: Future = Future()
    cache.prefetch = lambda *args: started.append(args) or fetched
    fetched.set_result(None)
    b.submit("fox", level="ac-8")
    assert len(started) == 1
    assert b.engine.stats()["running"] == 0


def test_samplers_with_a_history_neither_keep_nor_resume(bench, cache):
    b = bench(cache=cache)
    family = b.family
    assert cache.depths(family, "large", "DPMSolverMultistepScheduler", 20) == frozenset()
    assert cache.prefetch(b.request(level="ac-8"), family.level("ac-8"), family, "UniPCMultistepScheduler") is None


def test_latents_can_lie_in_redis(services, bench, known):
    store = store_at(services.broker_url.replace("redis://", "valkey://"))
    assert isinstance(store, RedisStore)
    b = bench(cache=LatentCache(ExactIndex(), store, embed=lambda prompt: known[prompt]))
    b.submit("fox", seed=1)
    b.run()
    future = b.submit("owl", seed=2, level="ac-8")
    b.run()
    assert future.result(0).steps_skipped == 8
    store.delete(next(iter(b.engine.cache.index.coldest(1))).key)
    with pytest.raises(KeyError):
        store.get("never stored")


def test_a_store_that_does_not_exist_is_named_when_the_worker_starts():
    with pytest.raises(BadSettings, match="ARGUS_LATENTS='s3://latents'"):
        store_at("s3://latents")
