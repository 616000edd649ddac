"""Files that were cut, overwritten or exchanged: a clear error or a miss, never a crash, never another picture."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.cached_latents import Kind
from core.errors import BadProfile, CacheEntryDamaged, WeightsDamaged
from core.profiles import read_profile, read_quality
from families.embedded.checksums import verify
from tests.fuzz import examples
from tests.live.toy import make_family
from workers.latent_cache.store import decode_entry, encode_entry
from workers.measure.calibrate import Calibration, keep, read
from workers.pipelines import expected_mb

SEEDS = st.integers(0, 2**32 - 1)


def corrupted(data: bytes, seed: int) -> bytes:
    """Other bytes than these, of the kinds that disks, copies and people make."""
    chance = random.Random(seed)
    place, length = chance.randrange(len(data)), chance.randint(1, max(1, len(data) // 4))
    ways: list[Callable[[], bytes]] = [
        lambda: data[:place],
        lambda: data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :],
        lambda: data[:place] + bytes(length) + data[place + length :],
        lambda: data[:place] + chance.randbytes(length) + data[place + length :],
        lambda: data[:place] + data[place + length :],
        lambda: data + data[place:],
        lambda: data[:place] + data[place:][::-1],
        lambda: data.replace(b"0", b"9", 1 + place % 3),
    ]
    harmed = chance.choice(ways)()
    return harmed if harmed != data else data[:-1]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("family")
    make_family(root)
    return root


@given(seed=SEEDS, which=st.integers(0, 100))
@examples(40, 200)
def test_weights_that_are_not_those_recorded_are_named_and_never_loaded(family: Path, seed: int, which: int) -> None:
    files = sorted(path for path in (family / "large").rglob("*") if path.is_file())
    path = files[which % len(files)]
    data = path.read_bytes()
    try:
        if seed % 10:
            path.write_bytes(corrupted(data, seed))
        else:
            path.unlink()
        with pytest.raises(WeightsDamaged, match=path.name):
            verify(family / "large")
    finally:
        path.write_bytes(data)
    verify(family / "large")


@given(seed=SEEDS)
@examples(20, 200)
def test_a_damaged_list_of_checksums_vouches_for_nothing(family: Path, seed: int) -> None:
    path = family / "checksums.json"
    data = path.read_bytes()
    path.write_bytes(harmed := corrupted(data, seed))
    try:
        verify(family / "large")
        changed = {name: value for name, value in json.loads(harmed).items() if json.loads(data).get(name) != value}
        assert not [name for name in changed if name.startswith("large/")]
    except WeightsDamaged:
        pass
    finally:
        path.write_bytes(data)


KIND = Kind("toy", "large", "1", 32, 32, 8, "euler")


@given(seed=SEEDS)
@examples(60, 200)
def test_a_cached_latent_that_is_not_the_stored_one_is_a_miss(seed: int) -> None:
    latent = torch.randn(12, 4, 4, generator=torch.Generator().manual_seed(seed % 7)).half()
    data = encode_entry(KIND, 3, np.eye(384, dtype=np.float32)[0], latent)
    try:
        kind, k, _, found = decode_entry(corrupted(data, seed))
    except CacheEntryDamaged:
        return
    assert (kind, k, found.shape) == (KIND, 3, latent.shape)
    assert torch.equal(found, latent)


@given(seed=SEEDS)
@examples(40, 200)
def test_a_damaged_calibration_is_made_again_or_is_a_possible_one(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "cpu.json"
    keep(path, Calibration(0.25, {"device": "cpu", "torch": "2"}))
    path.write_bytes(corrupted(path.read_bytes(), seed))
    found = read(path)
    assert found is None or 0 < found.exact_s < float("inf")


@given(seed=SEEDS)
@examples(40, 200)
def test_a_damaged_profile_or_quality_table_is_refused_or_holds_possible_figures(tmp_path: Path, seed: int) -> None:
    profile, table = tmp_path / "cpu.json", tmp_path / "quality.csv"
    level = {"id": "exact", "requests_per_minute": 10.5, "latency_s": 4.5, "batch": [{"size": 1, "step_s": 0.1}]}
    profile.write_bytes(corrupted(json.dumps({"family": "f", "device": "cpu", "levels": [level]}).encode(), seed))
    table.write_bytes(corrupted(b'prompt,exact,fs-4\na fox,1.0,0.9\n"two, foxes",1.0,0.8\n', seed))
    with suppress(BadProfile):
        assert all(np.isfinite(one.latency_s) and one.latency_s > 0 for one in read_profile(profile).levels)
    with suppress(BadProfile):
        values = read_quality(table).values
        assert np.isfinite(values).all()
        assert (values >= 0).all()


@pytest.mark.parametrize("cut", [0, 4, 8, 50])
def test_the_size_of_weights_that_were_cut_is_asked_without_a_crash(family: Path, tmp_path: Path, cut: int) -> None:
    from core.families import Model

    shutil.copytree(family, tmp_path / "family")
    (weights,) = (tmp_path / "family" / "large").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:cut])
    model = Model(id="large", pipeline="embedded-unet", path=str(tmp_path / "family" / "large"))
    with pytest.raises(WeightsDamaged, match=weights.name):
        expected_mb(model, torch.float32)
