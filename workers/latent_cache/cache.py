"""Latents of finished requests, kept for prompts like theirs: store, index and cache.

An entry belongs to a `Kind` (family, model, version, size, steps, scheduler): only a request of the same kind can
resume it. Files are ordinary safetensors with their kind and a checksum in the header; the index finds the nearest
prompt; the cache puts both together under a size limit, evicting LCBFU: fewest uses × steps saved first.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load as unpack
from safetensors.torch import save as pack
from torch import Tensor

from core.errors import CacheEntryDamaged
from core.families import Family, Level
from core.similarity import deepest
from workers.engine.request import Order
from workers.latent_cache.depths import is_final, kept_depths
from workers.latent_cache.index import Entry, Index, Kind
from workers.pipelines.samplers import RESUMABLE

log = logging.getLogger(__name__)

SAME = 0.999  # cosine from which a prompt counts as kept already


@dataclass(frozen=True)
class Hit:
    """A latent a request may start from: x_K of a similar prompt, or with `clean` its finished latent."""

    latent: Tensor
    k: int
    similarity: float
    key: str
    clean: bool
    seconds: float  # look-up and fetch


class Blobs(Protocol):
    """Where bytes lie, by key. `get` raises KeyError where there is nothing."""

    def put(self, key: str, data: bytes) -> None: ...
    def get(self, key: str) -> bytes: ...
    def delete(self, key: str) -> None: ...


class Folder:
    """One file a key; files appear whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, data: bytes) -> None:
        part = self._file(key).with_suffix(f".{os.getpid()}.part")
        part.write_bytes(data)
        part.replace(self._file(key))

    def get(self, key: str) -> bytes:
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def delete(self, key: str) -> None:
        self._file(key).unlink(missing_ok=True)

    def keys(self) -> Iterator[str]:
        """All keys, oldest first."""
        files = sorted(self.path.glob("*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
        return (file.stem for file in files)

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.safetensors"


class RedisBlobs:
    """The same in Redis or Valkey, for workers on several hosts."""

    def __init__(self, client: Any, prefix: str = "argus:latent:") -> None:
        self.client, self.prefix = client, prefix

    def put(self, key: str, data: bytes) -> None:
        self.client.set(self.prefix + key, data)

    def get(self, key: str) -> bytes:
        data = self.client.get(self.prefix + key)
        if data is None:
            raise KeyError(key)
        return data

    def delete(self, key: str) -> None:
        self.client.delete(self.prefix + key)


def encode_entry(kind: Kind, k: int, embedding: np.ndarray, latent: Tensor) -> bytes:
    """Latent [C, h, w] and embedding as safetensors, fp16, with kind, K and checksum in the header."""
    tensors = {
        "latent": latent.to("cpu", torch.float16).contiguous(),
        "embedding": torch.from_numpy(embedding).half(),
    }
    crc = zlib.crc32(tensors["latent"].numpy().tobytes())
    return pack(tensors, {"kind": json.dumps(asdict(kind)), "k": str(k), "crc": str(crc)})


def decode_entry(data: bytes) -> tuple[Kind, int, np.ndarray, Tensor]:
    """The opposite of `encode_entry`.

    Raises:
        CacheEntryDamaged: truncated, altered, not safetensors, or not made of numbers.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])["__metadata__"]
        tensors = unpack(data)
        kind, k, crc = Kind(**json.loads(header["kind"])), int(header["k"]), int(header["crc"])
        latent, embedding = tensors["latent"], tensors["embedding"].float().numpy()
    except Exception as error:
        raise CacheEntryDamaged(f"A cached latent can't be read: {error}") from error
    if zlib.crc32(latent.numpy().tobytes()) != crc:
        raise CacheEntryDamaged("A cached latent does not have its checksum.")
    if not torch.isfinite(latent).all():
        raise CacheEntryDamaged("A cached latent is not made of numbers.")
    return kind, k, embedding, latent


class LatentCache:
    """Approximate caching: keeps latents, finds the nearest, fetches beside the loop.

    Args:
        index: finds the nearest prompt of a kind.
        blobs: holds the latents.
        limit_mb: most of them.
        embed: prompt → unit vector [384], for orders that bring none.
    """

    def __init__(
        self,
        index: Index,
        blobs: Blobs,
        limit_mb: float = 512,
        embed: Callable[[str], np.ndarray] | None = None,
    ) -> None:
        self.index, self.blobs, self.limit = index, blobs, int(limit_mb * 1e6)
        self._embed = lru_cache(maxsize=256)(embed or _sentence)  # looked up first, kept later
        self._desk = ThreadPoolExecutor(2, thread_name_prefix="fetch")
        self._counts: Counter[str] = Counter()
        self._skipped: Counter[int] = Counter()
        self._unchecked = self.limit  # bytes written since the limit was last looked at
        self._size = (0, 0)  # entries and bytes, as of then
        self._lookup_s: deque[float] = deque(maxlen=1000)
        self._fetch_s: deque[float] = deque(maxlen=1000)

    def depths(self, family: Family, model_id: str, scheduler: str, steps: int) -> frozenset[int]:
        """The K at which latents of a run of so many steps are kept."""
        return kept_depths(family, model_id, steps) if scheduler in RESUMABLE else frozenset()

    def prefetch(self, order: Order, level: Level, family: Family, scheduler: str) -> Future[Hit | None] | None:
        """Begin to look up and fetch, in another thread; None where this sampler can't resume."""
        if scheduler not in RESUMABLE:
            return None
        return self._desk.submit(self.look, order, level, family, scheduler)

    def look(self, order: Order, level: Level, family: Family, scheduler: str) -> Hit | None:
        """The deepest latent that similarity and level allow; a damaged one is dropped and counts as a miss."""
        began = time.perf_counter()
        steps, skip = level.schedule(order.steps, family.defaults.steps)
        clean = is_final(level)
        match = self.index.nearest(_kind(order, level, family, scheduler, clean), self._vector(order))
        self._lookup_s.append(time.perf_counter() - began)
        k = 0 if match is None else deepest(match.similarity, skip, steps)
        usable = [] if match is None else [e for e in match.entries if clean or e.k <= k]
        if match is None or not k or not usable:
            self._counts["misses"] += 1
            return None
        entry = max(usable, key=lambda entry: entry.k)
        latent = self._fetch(entry)
        if latent is None:
            self._counts["misses"] += 1
            return None
        k = k if clean else entry.k
        self._counts["hits"] += 1
        self._skipped[k] += 1
        self.index.touch(entry.key)
        return Hit(latent, k, match.similarity, entry.key, clean, time.perf_counter() - began)

    def keep(
        self,
        order: Order,
        level: Level,
        family: Family,
        scheduler: str,
        steps: int,
        latents: dict[int, Tensor],
    ) -> None:
        """Take in a finished request's latents by K (K = all steps: the finished one)."""
        embedding = self._vector(order)
        for clean in (False, True):
            kind = _kind(order, level, family, scheduler, clean)
            wanted = {k: latent for k, latent in latents.items() if (k == steps) == clean}
            match = self.index.nearest(kind, embedding)
            if wanted and not (match is not None and match.similarity > SAME):
                self._put(kind, embedding, wanted)
        self._evict()

    def forget(self, hit: Hit) -> None:
        """Drop an entry that turned out bad."""
        self._drop([hit.key])

    def recover(self) -> int:
        """Fill an index that forgot everything from a folder's files; damaged ones are deleted. Answers how many."""
        assert isinstance(self.blobs, Folder)
        for key in list(self.blobs.keys()):
            try:
                data = self.blobs.get(key)
                kind, k, embedding, _ = decode_entry(data)
                self.index.add(kind, embedding, [Entry(key, k, len(data))])
            except (CacheEntryDamaged, KeyError):
                self.blobs.delete(key)
        return len(self.index)

    def stats(self) -> dict[str, Any]:
        """Hits, misses, entries, bytes, K's started from, times in seconds."""
        return {
            "hits": self._counts["hits"],
            "misses": self._counts["misses"],
            "damaged": self._counts["damaged"],
            "evicted": self._counts["evicted"],
            "entries": self._size[0],
            "bytes": self._size[1],
            "skipped": dict(self._skipped),
            "lookup_s": _quantiles(self._lookup_s),
            "fetch_s": _quantiles(self._fetch_s),
        }

    def _vector(self, order: Order) -> np.ndarray:
        return self._embed(order.prompt) if order.embedding is None else np.asarray(order.embedding, np.float32)

    def _fetch(self, entry: Entry) -> Tensor | None:
        began = time.perf_counter()
        try:
            latent = decode_entry(self.blobs.get(entry.key))[3]
        except (CacheEntryDamaged, KeyError) as error:
            log.warning("cached latent %s dropped: %s", entry.key, error)
            self._counts["damaged"] += 1
            self._drop([entry.key])
            return None
        self._fetch_s.append(time.perf_counter() - began)
        return latent

    def _put(self, kind: Kind, embedding: np.ndarray, latents: dict[int, Tensor]) -> None:
        trace, entries = uuid.uuid4().hex, []
        for k, latent in sorted(latents.items()):
            data = encode_entry(kind, k, embedding, latent)
            entries.append(Entry(f"{trace}-{k}", k, len(data)))
            self.blobs.put(entries[-1].key, data)
            self._unchecked += len(data)
        self.index.add(kind, embedding, entries)

    def _evict(self) -> None:
        """Keep to the limit. Counting a shared table costs, so it is done once in every hundredth of the limit."""
        if self._unchecked < self.limit / 100:
            return
        while (excess := self.index.bytes() - self.limit) > 0 and (cold := self.index.coldest(excess)):
            self._counts["evicted"] += len(cold)
            self._drop([entry.key for entry in cold])
        self._unchecked, self._size = 0, (len(self.index), self.index.bytes())

    def _drop(self, keys: list[str]) -> None:
        self.index.remove(keys)
        for key in keys:
            self.blobs.delete(key)


def _kind(order: Order, level: Level, family: Family, scheduler: str, clean: bool) -> Kind:
    """A finished latent serves every model, step count and sampler of the family."""
    if clean:
        return Kind(family.id, "*", family.version, order.width, order.height, 0, "*")
    steps, _ = level.schedule(order.steps, family.defaults.steps)
    return Kind(family.id, level.model, family.version, order.width, order.height, steps, scheduler)


def _sentence(prompt: str) -> np.ndarray:
    from core.text import shared_encoder

    return shared_encoder().sentences([prompt])[0].numpy()


def _quantiles(seconds: deque[float]) -> dict[str, float]:
    values = list(seconds)
    return {"p50": float(np.quantile(values, 0.5)), "p95": float(np.quantile(values, 0.95))} if values else {}


def shared_cache() -> LatentCache | None:
    """The cache as the settings have it: pgvector's index, a folder of latents; None when its limit is 0."""
    from core.database import engine
    from core.settings import settings
    from workers.latent_cache.index import VectorIndex

    if not settings().latents_mb:
        return None
    return LatentCache(VectorIndex(engine()), Folder(settings().latent_folder), settings().latents_mb)
