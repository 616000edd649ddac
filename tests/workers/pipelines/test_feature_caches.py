"""Levels with a feature cache: a request is never shown another's features, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig

from core.errors import BadFamily
from core.families import Family, load_family
from core.levels import Level
from tests.workers.toy_engine import ToyEngine
from tests.workers.toys import make_request
from workers.engine.engine import Engine
from workers.pipelines import load_adapter
from workers.pipelines.random_weights import random_family

CACHES = {
    "first-block": Level(id="fc-first", strategy="fc", model="random", cache="first-block", options={"threshold": 0.5}),
    "taylorseer": Level(
        id="fc-taylor",
        strategy="fc",
        model="random",
        cache="taylorseer",
        options={"cache_interval": 2, "disable_cache_before_step": 2},
    ),
}
CONFIGS = {
    "first-block": FirstBlockCacheConfig(threshold=0.5),
    "taylorseer": TaylorSeerCacheConfig(
        cache_interval=2, disable_cache_before_step=2, taylor_factors_dtype=torch.float64
    ),
}
STEPS = 12


def with_caches(family: Family) -> Family:
    levels = {**family.levels, **{level.id: level for level in CACHES.values()}}
    return family.model_copy(update={"levels": levels})


class Studio(ToyEngine):
    """Such an engine, and what its denoisers computed."""

    def __init__(self, family: Family) -> None:
        super().__init__(family, steps=STEPS)
        self.calls = 0
        for net in (self.adapter.net, *(cache.adapter.net for cache in self.adapter.feature_caches.values())):
            for name, module in net.named_modules():
                if name.endswith(
                    ("attn.to_q", "attn1.to_q")
                ):  # runs when, and only when, its block's attention is computed
                    module.register_forward_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.calls += 1

    def held(self) -> set[str]:
        return set().union(*(cache.contexts() for cache in self.adapter.feature_caches.values()))


@pytest.fixture(scope="module")
def folder() -> Any:
    with TemporaryDirectory(prefix="argus-features-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def flux(folder: Path) -> Family:
    return with_caches(random_family("flux", folder / "flux", toy=True, num_layers=2, num_single_layers=2))


@pytest.fixture
def studio(flux: Family) -> Studio:
    return Studio(flux)


@pytest.mark.parametrize("cache", CACHES)
def test_requests_at_different_steps_end_as_alone_though_others_come_and_go(studio: Studio, cache: str):
    level = CACHES[cache].id
    asked = {
        "one": {"prompt": "a red fox", "seed": 1},
        "two": {"prompt": "two owls at night", "seed": 2, "steps": 9},
        "three": {"prompt": "a boat", "seed": 3},
    }
    alone = {name: studio.latent(name, level, **changes) for name, changes in asked.items()}
    plain = studio.latent("plain", "exact", seed=9)
    running = {"one": studio.submit("one", level, **asked["one"])[1]}
    running["plain"] = studio.submit("plain", "exact", seed=9)[1]
    studio.engine.step()
    studio.engine.step()
    studio.submit("gone", level, seed=8)
    studio.submit("shorter", "fs-10", seed=4)
    for _ in range(6):
        studio.engine.step()
    running["two"] = studio.submit("two", level, **asked["two"])[1]
    studio.engine.cancel("gone")
    for _ in range(3):
        studio.engine.step()
    running["three"] = studio.submit("three", level, **asked["three"])[1]
    studio.run()
    for name, latent in {**alone, "plain": plain}.items():
        assert (running[name].row.latent - latent).abs().max() <= 1e-9, name
    assert not studio.held()


@pytest.mark.parametrize("cache", CACHES)
def test_a_level_with_a_cache_draws_what_diffusers_draws_with_it(studio: Studio, cache: str):
    ours = studio.latent("ours", CACHES[cache].id, seed=5)
    request = make_request(seed=5, steps=STEPS)
    pipe = studio.adapter.pipe
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = type(studio.adapter.scheduler).from_config(studio.adapter.scheduler.config)
    pipe.transformer.enable_cache(CONFIGS[cache])
    try:
        theirs = pipe(
            request.prompt,
            num_inference_steps=STEPS,
            guidance_scale=request.guidance,
            width=request.width,
            height=request.height,
            generator=torch.Generator().manual_seed(5),
            output_type="latent",
        ).images[0]
    finally:
        pipe.transformer.disable_cache()
    assert (ours - theirs).abs().max() < 2e-5 * theirs.abs().max()  # diffusers steps in float32
    assert (ours - studio.latent("exact", "exact", seed=5)).abs().max() > 1e-6


@pytest.mark.parametrize("cache", CACHES)
def test_a_cache_computes_fewer_blocks_and_the_fused_rows_beside_it_all_of_theirs(studio: Studio, cache: str):
    studio.latent("exact", "exact")
    full, studio.calls = studio.calls, 0
    assert full == STEPS * 4
    studio.latent("fc", CACHES[cache].id)
    saved, studio.calls = full - studio.calls, 0
    assert 0 < saved < full
    studio.submit("fc", CACHES[cache].id)
    studio.submit("exact", "exact")
    studio.submit("exact too", "exact")
    studio.run()
    assert studio.calls == full + (full - saved)


def test_the_features_of_a_request_go_when_it_is_finished_cancelled_preempted_or_fails(studio: Studio):
    level = CACHES["first-block"].id
    for name in ("finished", "cancelled", "preempted", "bad"):
        studio.submit(name, level, steps=3)
    studio.engine.step()
    assert studio.held() == {f"{name}/cond" for name in ("finished", "cancelled", "preempted", "bad")}
    studio.engine.cancel("cancelled")
    studio.engine.preempt("preempted")
    (batch,) = studio.engine.batches()
    batch.latents[[request.id for request in batch.requests].index("bad")] = torch.nan
    studio.engine.step()
    assert studio.held() == {"finished/cond"}
    assert not studio.engine.preempted()
    studio.run()
    assert not studio.held()
    studio.submit("stopped", level)
    studio.engine.step()
    studio.engine.stop()
    assert not studio.held()


def test_a_twin_shares_its_weights_and_the_model_has_no_hooks(studio: Studio):
    plain = studio.adapter.net
    for cache in studio.adapter.feature_caches.values():
        ours = dict(cache.adapter.net.named_parameters())
        assert all(ours[name] is tensor for name, tensor in plain.named_parameters())
    assert not any("forward" in vars(module) for module in plain.modules())


LITE = Level(
    id="fc-lite",
    strategy="fc",
    model="random",
    cache="taylorseer",
    options={"cache_interval": 3, "disable_cache_before_step": 3, "use_lite_mode": True},
)


@pytest.mark.parametrize("level", [CACHES["first-block"], LITE], ids=["first-block", "taylorseer-lite"])
def test_blocks_compiled_behind_a_caches_hooks_answer_the_same(folder: Path, flux: Family, level: Level, monkeypatch):
    compiled: list[Any] = []
    eager = lambda work, **options: compiled.append(work) or torch._dynamo.optimize("eager", nopython=True)(work)  # noqa: E731
    monkeypatch.setattr(torch, "compile", eager)
    latents = []
    for compiles in (False, True):
        family = flux.model_copy(update={"levels": {"exact": flux.levels["exact"], level.id: level}})
        adapter = load_adapter(family.models["random"], "cpu", torch.float64)
        adapter.compiles = compiles
        engine = Engine(family, dtype=torch.float64, load=lambda model, adapter=adapter: adapter, threaded=False)
        engine.load("random")
        request = make_request(level=level, steps=STEPS)
        engine.submit(request)
        running = engine.find(request.request_id)
        while engine.step():
            pass
        latents.append(running.row.latent)
    assert len(compiled) == 4  # two blocks of each kind
    assert (latents[0] - latents[1]).abs().max() < 1e-9


GUIDED = [("sd3", "taylorseer"), ("pixart-sigma", "first-block")]


@pytest.mark.parametrize(("architecture", "cache"), GUIDED)
def test_guided_rows_keep_features_of_their_two_halves_apart(folder: Path, architecture: str, cache: str):
    level = CACHES[cache]
    family = random_family(architecture, folder / f"{architecture}-{cache}", toy=True, num_layers=3)
    studio = Studio(family.model_copy(update={"levels": {**family.levels, level.id: level}}))
    alone = {seed: studio.latent(f"r{seed}", level.id, seed=seed) for seed in (1, 2)}
    first = studio.submit("r1", level.id, seed=1)[1]
    for _ in range(5):
        studio.engine.step()
    assert studio.held() == {"r1/cond", "r1/uncond"}
    second = studio.submit("r2", level.id, seed=2)[1]
    studio.run()
    assert (first.row.latent - alone[1]).abs().max() <= 1e-9
    assert (second.row.latent - alone[2]).abs().max() <= 1e-9
    assert (alone[1] - studio.latent("exact", "exact", seed=1)).abs().max() > 1e-6


def test_first_block_cache_computes_fewer_blocks_of_the_shipped_transformer_and_keeps_its_picture():
    family = load_family("embedded")
    model = family.models["dit"].model_copy(update={"id": "random"})
    levels = [Level(id="exact", strategy="exact", model="random")]
    levels += [
        Level(
            id=f"fc-{threshold}", strategy="fc", model="random", cache="first-block", options={"threshold": threshold}
        )
        for threshold in (0.0, 0.2)
    ]
    own = {"models": {"random": model}, "levels": {level.id: level for level in levels}}
    studio = Studio(family.model_copy(update=own))
    asked = {"prompt": "two owls in the snow", "guidance": 2.0, "negative_prompt": "", "width": 128, "height": 128}
    latents, calls = {}, {}
    for level in own["levels"]:
        studio.calls = 0
        latents[level] = studio.latent(level, level, **asked)
        calls[level] = studio.calls
    assert (latents["fc-0.0"] - latents["exact"]).abs().max() <= 1e-9  # it always moved by more than nothing
    assert calls["fc-0.2"] < 0.8 * calls["fc-0.0"]
    assert (latents["fc-0.2"] - latents["exact"]).norm() < 0.3 * latents["exact"].norm()


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3"])
def test_a_denoiser_without_feature_caches_refuses_the_level_when_it_is_loaded(folder: Path, architecture: str):
    family = with_caches(random_family(architecture, folder / architecture, toy=True))
    with pytest.raises(BadFamily, match="'fc-first' caches features"):
        Engine(family, threaded=False).load("random")


def test_the_embedded_unets_refuse_it_too(toys: Any):
    family = toys.member("unet")
    level = CACHES["first-block"].model_copy(update={"model": "large"})
    with pytest.raises(BadFamily, match="has no first-block cache"):
        Engine(family.model_copy(update={"levels": {level.id: level}}), threaded=False).load("large")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ('strategy = "fc"', "names its cache"),
        ('strategy = "exact"\ncache = "first-block"', "names its cache"),
        ('strategy = "fc"\ncache = "first-block"\noptions = { treshold = 0.1 }', "no option 'treshold'"),
        ('strategy = "fc"\ncache = "second-block"', "first-block"),
    ],
)
def test_a_family_file_that_names_a_cache_wrongly_is_refused_with_what_there_is(tmp_path: Path, entry: str, says: str):
    from core.families import FAMILIES

    text = (FAMILIES / "flux.toml").read_text()
    path = tmp_path / "flux.toml"
    path.write_text(text + f'\n[levels.fc-new]\nmodel = "dev"\n{entry}\n')
    with pytest.raises(BadFamily, match=says):
        load_family(str(path))


def test_a_profile_measures_such_a_level_by_itself_and_alone(flux: Family):
    from workers.measure.profile import measure

    measured = measure(flux, dtype=torch.float32, sizes=(1, 2), repeats=1)
    levels = {level["id"]: level for level in measured["levels"]}
    one, two = levels["fc-first"]["batch"]
    assert two["step_s"] == pytest.approx(2 * one["step_s"])
    assert levels["exact"]["batch"] != levels["fc-first"]["batch"]
