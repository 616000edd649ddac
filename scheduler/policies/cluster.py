"""What does not change between ticks: levels, what they cost on each device type, the target latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from core.profiles import LevelProfile, Profile
from scheduler.planning.instance import Level


@dataclass(frozen=True)
class Cluster:
    """Device types by their profiles. `slo_s` is the target latency, `memory` MB for models by device type, where
    known.

    Profiles may differ in their levels: a level that a device type lacks cannot run there.

    What a worker is assigned to is called what it *holds*: a model, whose levels share its time; all models together,
    where every type of device has memory for them; or, with `shared` False, one level, as in the Argus paper.
    """

    profiles: Mapping[str, Profile]
    slo_s: float
    shared: bool = True
    memory: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(level for profile in self.profiles.values() for level in profile.ids))

    def holds(self, level: str) -> str:
        """What a worker has to hold to serve this level."""
        return self._holds[level]

    @cached_property
    def _holds(self) -> dict[str, str]:
        if not self.shared:
            return {level: level for level in self.model_of}
        every = "+".join(self._sizes_mb)
        return {level: every if self.all_fit else model for level, model in self.model_of.items()}

    @cached_property
    def all_fit(self) -> bool:
        """Whether each worker has memory for all models at once: then changing from one to another takes no time."""
        need = sum(self._sizes_mb.values())
        known = all(self._sizes_mb.values()) and all(self.memory.get(device) for device in self.profiles)
        return len(self._sizes_mb) > 1 and known and all(need <= self.memory[device] for device in self.profiles)

    def models_held(self, held: str) -> tuple[str, ...]:
        """The models in memory of a worker that holds this."""
        return tuple(dict.fromkeys(self.model_of[level] for level in self.levels if self._holds[level] == held))

    @cached_property
    def model_of(self) -> dict[str, str]:
        """The model that each level runs on."""
        return {level.id: level.holds for profile in self.profiles.values() for level in profile.levels}

    @cached_property
    def _sizes_mb(self) -> dict[str, float]:
        """Memory that each model takes, on the device type where it takes most; 0: not measured."""
        found: dict[str, float] = {}
        for profile in self.profiles.values():
            for level in profile.levels:
                found[level.holds] = max(found.get(level.holds, 0.0), level.memory_mb)
        return found

    @cached_property
    def models(self) -> dict[str, tuple[int, ...]]:
        """Indices of the levels that those serve who hold this."""
        found: dict[str, list[int]] = {}
        for i, level in enumerate(self.levels):
            found.setdefault(self.holds(level), []).append(i)
        return {model: tuple(indices) for model, indices in found.items()}

    def latency(self, device: str) -> tuple[float, ...]:
        """Seconds of one request alone, by level; infinite where it cannot run."""
        profile = self.profiles[device]
        return tuple(profile.level(lv).latency_s if lv in profile.ids else float("inf") for lv in self.levels)

    def latency_full(self, device: str) -> tuple[float, ...]:
        """The same in a batch as large as pays: what to count on under load."""
        profile = self.profiles[device]
        return tuple(profile.level(lv).latency_full_s if lv in profile.ids else float("inf") for lv in self.levels)

    def latency_at(self, device: str, rows: int) -> tuple[float, ...]:
        """The same while so many rows run."""
        profile = self.profiles[device]
        return tuple(profile.level(lv).latency_at(rows) if lv in profile.ids else float("inf") for lv in self.levels)

    def share(self, device: str) -> tuple[float, ...]:
        """Share of a worker that one row fills, by level.

        A batch as large as pays fills it, or a smaller one that takes half the target latency: whoever comes then need
        not wait for longer, and those in it are not bound to their levels for longer.
        """
        profile = self.profiles[device]
        return tuple(1 / self._rows(profile.level(lv)) if lv in profile.ids else float("inf") for lv in self.levels)

    def _rows(self, level: LevelProfile) -> int:
        return max([n for n in range(1, level.rows + 1) if level.expected_s(n) <= self.slo_s / 2], default=1)

    def seconds(self, device: str) -> tuple[float, ...]:
        """Worker-seconds a request takes at the best batch, by level."""
        profile = self.profiles[device]
        return tuple(
            60 / profile.level(lv).requests_per_minute if lv in profile.ids else float("inf") for lv in self.levels
        )

    @cached_property
    def quality(self) -> tuple[float, ...]:
        """The profiles' mean relative quality, by level."""
        found = {level.id: level.quality for profile in self.profiles.values() for level in profile.levels}
        return tuple(found[level] for level in self.levels)

    @cached_property
    def memory_mb(self) -> dict[str, float]:
        """Memory that what a worker holds takes; 0: not measured."""
        return {held: sum(self._sizes_mb[model] for model in self.models_held(held)) for held in self.models}

    @cached_property
    def ladders(self) -> dict[int, tuple[int, ...]]:
        """By level that starts from a cached latent: what it is where none is near enough, up to itself
        (`Profile.ladder`)."""
        index = {level: i for i, level in enumerate(self.levels)}
        found: dict[int, tuple[int, ...]] = {}
        for profile in self.profiles.values():
            for level in profile.ids:
                rungs = profile.ladder(level)
                if len(rungs) > 1:
                    found.setdefault(index[level], tuple(index[rung] for rung in rungs))
        return found

    @cached_property
    def skipped(self) -> tuple[float, ...]:
        """Share of the steps that each level leaves to a cached latent."""
        found = {level: p.skipped_share(level) for p in reversed(list(self.profiles.values())) for level in p.ids}
        return tuple(found[level] for level in self.levels)

    def drawn(self, level: int, usable: Sequence[float]) -> int:
        """What a request that starts at this level is drawn at: the deepest rung of its ladder with a `usable` latent.

        Args:
            usable: by level, not 0 where a cached latent is near enough. Predicted qualities say so: 0 is a miss.
        """
        rungs = self.ladders.get(level, (level,))
        return next((rung for rung in reversed(rungs[1:]) if usable[rung]), rungs[0])

    def planned_levels(self) -> tuple[Level, ...]:
        """The levels as the planner reads them."""
        return tuple(
            Level(
                level,
                {d: p.level(level).requests_per_minute for d, p in self.profiles.items() if level in p.ids},
                self.holds(level) if self.shared else "",
            )
            for level in self.levels
        )
