"""Where the latent cache keeps its bytes: a folder, or Redis. What the bytes are: safetensors with a checksum."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load as unpack
from safetensors.torch import save as pack
from torch import Tensor

from core.cached_latents import Kind
from core.errors import BadSettings, CacheEntryDamaged

SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
SOCKET_S = 1.0  # a look-up does not wait longer anyway


class LatentStore(Protocol):
    """Bytes by key. `get` raises KeyError where there is nothing, and anything else where the store is away."""

    def put(self, key: str, data: bytes) -> None: ...
    def get(self, key: str) -> bytes: ...
    def delete(self, key: str) -> None: ...


class FolderStore:
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

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.safetensors"


class RedisStore:
    """The same in Redis or Valkey, for workers on several hosts."""

    PREFIX = "argus:latent:"

    def __init__(self, client: Any, prefix: str = PREFIX) -> None:
        self.client, self.prefix = client, prefix

    def put(self, key: str, data: bytes) -> None:
        self.client.set(self.prefix + key, data)

    def get(self, key: str) -> bytes:
        data: bytes | None = self.client.get(self.prefix + key)
        if data is None:
            raise KeyError(key)
        return data

    def delete(self, key: str) -> None:
        self.client.delete(self.prefix + key)


def store_at(location: str) -> LatentStore:
    """The store that ARGUS_LATENTS names: a `redis://`, `rediss://`, `valkey://` or `valkeys://` URL, else a folder."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        return FolderStore(Path(location))
    if scheme not in SCHEMES:
        raise BadSettings(
            f"ARGUS_LATENTS={location!r}: name a folder, or a URL that begins with {', '.join(SCHEMES)}.",
            field="ARGUS_LATENTS",
        )
    import redis

    url = f"{SCHEMES[scheme]}://{rest}"
    client = redis.Redis.from_url(url, socket_timeout=SOCKET_S, socket_connect_timeout=SOCKET_S)
    return RedisStore(client)


def encode_entry(kind: Kind, k: int, embedding: np.ndarray, latent: Tensor) -> bytes:
    """Latent [C, h, w] and embedding as safetensors, fp16, with kind, K and checksum in the header."""
    tensors = {
        "latent": latent.to("cpu", torch.float16).contiguous(),
        "embedding": torch.from_numpy(embedding).half(),
    }
    crc, whole = zlib.crc32(tensors["latent"].numpy().tobytes()), _whole(kind, k, tensors["latent"])
    return pack(tensors, {"kind": json.dumps(asdict(kind)), "k": str(k), "crc": str(crc), "whole": str(whole)})


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
        whole = int(header.get("whole", _whole(kind, k, latent)))  # none in entries of the version before
    except Exception as error:
        raise CacheEntryDamaged(f"A cached latent can't be read: {error}") from error
    if zlib.crc32(latent.numpy().tobytes()) != crc or whole != _whole(kind, k, latent):
        raise CacheEntryDamaged("A cached latent does not have its checksum.")
    if not torch.isfinite(latent).all():
        raise CacheEntryDamaged("A cached latent is not made of numbers.")
    return kind, k, embedding, latent


def _whole(kind: Kind, k: int, latent: Tensor) -> int:
    """A checksum of the latent with what the header says of it: another shape would be another picture."""
    about = json.dumps([asdict(kind), k, list(latent.shape), str(latent.dtype)]).encode()
    return zlib.crc32(latent.numpy().tobytes(), zlib.crc32(about))
