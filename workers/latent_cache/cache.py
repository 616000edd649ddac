"""Latents of finished requests, kept for similar prompts to start from.

An entry belongs to a `Kind` (family, model, version, size, steps, scheduler): only a request of the same kind can start
from it. The index finds the nearest prompt, the store has the bytes, the cache puts both together under a size limit
and evicts by LCBFU: fewest uses × steps saved first.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from core.cached_latents import Kind, is_final, kind_of, weighted_words
from core.emphasis import written_emphasis
from core.errors import CacheEntryDamaged
from core.families import Family
from core.levels import Level
from core.loras import written_loras
from core.prompt_window import read_by
from core.similarity import deepest
from workers.engine.request import GenerationRequest
from workers.latent_cache.depths import kept_depths
from workers.latent_cache.entries import Entry, Index
from workers.latent_cache.fetching import TIMEOUT_S, Fetcher
from workers.latent_cache.figures import Figures
from workers.latent_cache.store import LatentStore, decode_entry, encode_entry, store_at
from workers.pipelines.samplers import RESUMABLE

log = logging.getLogger(__name__)

SAME = 0.999  # cosine from which a prompt counts as cached already


@dataclass(frozen=True)
class Hit:
    """A latent a request may start from: x_K of a similar prompt, or with `clean` its finished latent."""

    latent: Tensor
    k: int
    similarity: float
    key: str
    clean: bool
    seconds: float  # look-up and fetch


class LatentCache:
    """Approximate caching: stores latents, finds the nearest, fetches beside the loop.

    Args:
        index: finds the nearest prompt of a kind.
        store: has the bytes.
        limit_mb: most of them.
        embed: prompt → unit vector [384].
        timeout_s: after which a look-up is a miss.
    """

    def __init__(
        self,
        index: Index,
        store: LatentStore,
        limit_mb: float = 512,
        embed: Callable[[str], np.ndarray] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.index, self.latents, self.limit = index, store, int(limit_mb * 1e6)
        self._embed = lru_cache(maxsize=256)(embed or _sentence)  # looked up first, stored later
        self.figures = Figures()
        self._fetcher: Fetcher[Hit] = Fetcher(self.figures.counts, timeout_s)
        self._newest = ""  # key of the latent that was last stored or fetched
        self._unchecked = self.limit  # bytes written since the limit was last looked at
        self._size = (0, 0)  # entries and bytes, as of then

    def depths(self, family: Family, model_id: str, scheduler: str, steps: int) -> frozenset[int]:
        """The K at which latents of a run of so many steps are stored."""
        return kept_depths(family, model_id, steps) if scheduler in RESUMABLE else frozenset()

    def prefetch(
        self, request: GenerationRequest, level: Level, family: Family, scheduler: str
    ) -> Future[Hit | None] | None:
        """Begin to look up and fetch, in another thread; None where this sampler can't start at K.

        The future ends within the timeout, whatever becomes of index and store, and never with an error.
        """
        if scheduler not in RESUMABLE:
            return None
        future = self._fetcher.fetch(lambda: self.look_up(request, level, family, scheduler))
        future.add_done_callback(lambda ended: self.figures.count(hit.k if (hit := ended.result()) else None))
        return future

    def look_up(self, request: GenerationRequest, level: Level, family: Family, scheduler: str) -> Hit | None:
        """The deepest latent that similarity and level allow. A damaged one is dropped and counts as a miss."""
        hit = self._nearest(request, level, family, scheduler, time.perf_counter())
        if hit is not None:
            self.index.touch(hit.key)
        return hit

    def store(
        self,
        request: GenerationRequest,
        level: Level,
        family: Family,
        scheduler: str,
        steps: int,
        latents: dict[int, Tensor],
    ) -> None:
        """Take in a finished request's latents by K (K = all steps: the finished one)."""
        embedding = self._embed(*read_by(family, [request.prompt]))
        for clean in (False, True):
            kind = _kind(request, level, family, scheduler, clean)
            wanted = {k: latent for k, latent in latents.items() if (k == steps) == clean}
            match = self.index.nearest(kind, embedding)
            if wanted and not (match is not None and match.similarity > SAME):
                self._put(kind, embedding, wanted)
        self._evict()

    def forget(self, hit: Hit) -> None:
        """Drop an entry that turned out bad; the caller does not wait for it."""
        self._fetcher.beside(lambda: self._drop([hit.key]))

    def stats(self) -> dict[str, Any]:
        """Its figures, its size, and whether the store is `away`."""
        return {**self.figures.to_json(), "entries": self._size[0], "bytes": self._size[1], "away": self._fetcher.away}

    def probe(self) -> None:
        """Ask the store for a latent, beside: so it is known whether it answers, and how fast, while nobody asks it.
        One that is away is left alone as look-ups leave it."""
        self._fetcher.probe(self._ask)

    def _ask(self) -> None:
        began = time.perf_counter()
        with suppress(KeyError):  # dropped meanwhile: the store has answered
            self.latents.get(self._newest)
            self.figures.fetch_s.append(time.perf_counter() - began)

    def _nearest(
        self, request: GenerationRequest, level: Level, family: Family, scheduler: str, began: float
    ) -> Hit | None:
        steps, skip = level.schedule(request.steps, family.defaults.steps)
        clean = is_final(level)
        kind = _kind(request, level, family, scheduler, clean)
        match = self.index.nearest(kind, self._embed(*read_by(family, [request.prompt])))
        self.figures.lookup_s.append(time.perf_counter() - began)
        k = 0 if match is None else deepest(match.similarity, skip, steps)
        usable = [] if match is None else [e for e in match.entries if clean or e.k <= k]
        if match is None or not k or not usable:
            return None
        entry = max(usable, key=lambda entry: entry.k)
        latent = self._fetch(entry, kind)
        if latent is None:
            return None
        return Hit(latent, k if clean else entry.k, match.similarity, entry.key, clean, time.perf_counter() - began)

    def _fetch(self, entry: Entry, kind: Kind) -> Tensor | None:
        began = time.perf_counter()
        try:
            found, k, _, latent = decode_entry(self.latents.get(entry.key))
            if (found, k) != (kind, entry.k):
                raise CacheEntryDamaged("A cached latent is of another kind than its key says.")
        except (CacheEntryDamaged, KeyError) as error:
            log.warning("cached latent %s dropped: %s", entry.key, error)
            self.figures.counts["damaged"] += 1
            self._drop([entry.key])
            return None
        self.figures.fetch_s.append(time.perf_counter() - began)
        self._newest = entry.key
        return latent

    def _put(self, kind: Kind, embedding: np.ndarray, latents: dict[int, Tensor]) -> None:
        run, entries = uuid.uuid4().hex, []
        for k, latent in sorted(latents.items()):
            data = encode_entry(kind, k, embedding, latent)
            entries.append(Entry(f"{run}-{k}", k, len(data)))
            self.latents.put(entries[-1].key, data)
            self._newest = entries[-1].key
            self._unchecked += len(data)
        self.index.add(kind, embedding, entries)

    def _evict(self) -> None:
        """Keep to the limit. Counting a shared table costs, so it is done once in every hundredth of the limit."""
        if self._unchecked < self.limit / 100:
            return
        while (excess := self.index.bytes() - self.limit) > 0 and (cold := self.index.coldest(excess)):
            self.figures.counts["evicted"] += len(cold)
            self._drop([entry.key for entry in cold])
        self._unchecked, self._size = 0, (len(self.index), self.index.bytes())

    def _drop(self, keys: list[str]) -> None:
        self.index.remove(keys)
        for key in keys:
            self.latents.delete(key)


def _kind(request: GenerationRequest, level: Level, family: Family, scheduler: str, final: bool) -> Kind:
    size = (request.width, request.height)
    words = weighted_words(request.prompt, request.negative_prompt, written_emphasis(request.emphasis))
    return kind_of(family, level, *size, request.steps, scheduler, final, written_loras(request.loras), words)


def _sentence(prompt: str) -> np.ndarray:
    from core.text import shared_encoder

    return shared_encoder().sentences([prompt])[0].numpy()


def shared_cache() -> LatentCache | None:
    """The cache as the settings have it: pgvector's index and a folder or Redis; None when its limit is 0."""
    from core.database import engine
    from core.settings import settings
    from workers.latent_cache.vector_index import VectorIndex

    if not settings().latents_mb:
        return None
    return LatentCache(VectorIndex(engine()), store_at(settings().latent_location), settings().latents_mb)
