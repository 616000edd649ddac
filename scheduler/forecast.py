"""Arrival rate a tick ahead: a slow average that starts anew when a fast one says demand has changed; time of day.

Noise and change look alike for a while. The slow average grows to five minutes and is steady under Poisson noise. When the
fast one (ten seconds) is further off than noise explains, the slow one doubts, and follows more quickly; when it is far
off, demand has jumped, and the slow one starts again from it. Over days the same time of earlier days says where demand
goes within the tick. Every forecast is held against what came; the mean relative error sets the planner's headroom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FAST_S, DOUBT_S, SLOW_S = 10.0, 30.0, 300.0
DOUBT, JUMP = 2.5, 3.5  # deviations of the fast average from the slow one
DAY_S, SLOT_S = 86_400.0, 300.0
GROWTH = (0.5, 2.0)  # the time of day moves a forecast by this at most
HEADROOM_MAX = 1.25
ERROR_WEIGHT = 0.1
DISPERSION_MAX, DISPERSION_WEIGHT = 4.0, 0.08


@dataclass(frozen=True)
class Forecast:
    """Requests a second expected over the horizon, the mean relative error of late, and whether demand just jumped."""

    rate: float
    error: float
    burst: bool

    @property
    def headroom(self) -> float:
        """What the planner divides capacity by: one mean error more than forecast."""
        return min(HEADROOM_MAX, 1.0 + self.error)


class Forecaster:
    """Feed it counts in order (`observe`), ask for the rate (`rate`, now) or a forecast (`ahead`)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fast = self.slow = 0.0
        self.span = 0.0  # seconds that the slow average stands on
        self.error = 0.0
        self.burst = False
        self.dispersion = 1.0  # of counts in ten seconds around what was expected: 1 for a Poisson stream
        self._window = [0.0, 0.0, 0.0]  # seconds, requests, requests expected
        self._pending: list[tuple[float, float, float]] = []  # end, forecast and count so far of open forecasts
        self._today: dict[int, list[float]] = {}  # slot of the day → [requests, seconds], this day and days before
        self._days: dict[int, float] = {}

    def observe(self, start: float, seconds: float, requests: float) -> None:
        """So many requests came in [start, start + seconds)."""
        self._disperse(seconds, requests)
        rate = requests / seconds
        self.span = min(SLOW_S, self.span + seconds)
        share = min(1.0, seconds / self.span)
        self.slow += (rate - self.slow) * share
        self.fast += (rate - self.fast) * max(1 - math.exp(-seconds / FAST_S), share)
        off = abs(self.fast - self.slow) / self._noise() if self.span > FAST_S else 0.0
        self.burst = off > JUMP
        if self.burst:
            self.slow, self.span = self.fast, FAST_S
        elif off > DOUBT:
            self.span = min(self.span, DOUBT_S)
        self._remember(start, seconds, requests)
        self.now = start + seconds
        self._settle(requests)

    @property
    def rate(self) -> float:
        """Requests a second, now."""
        return self.slow

    def ahead(self, horizon_s: float) -> Forecast:
        """The mean rate over the next `horizon_s` seconds. Its error is known, and counted, once they have passed."""
        rate = self.slow * self._growth(horizon_s)
        self._pending.append((self.now + horizon_s, rate * horizon_s, 0.0))
        return Forecast(rate, self.error, self.burst)

    def _disperse(self, seconds: float, requests: float) -> None:
        window = self._window = [
            self._window[0] + seconds,
            self._window[1] + requests,
            self._window[2] + self.slow * seconds,
        ]
        if window[0] >= FAST_S and self.span >= FAST_S:
            index = (window[1] - window[2]) ** 2 / max(window[2], 1.0)
            self.dispersion += (min(index, DISPERSION_MAX * 4) - self.dispersion) * DISPERSION_WEIGHT
            self.dispersion = min(DISPERSION_MAX, max(1.0, self.dispersion))
            self._window = [0.0, 0.0, 0.0]

    def _noise(self) -> float:
        """Deviation of the fast average from the slow one under Poisson arrivals that do not change."""
        rate = max(self.slow, 1.0 / SLOW_S)
        return math.sqrt(rate / (2 * FAST_S) * max(0.05, 1 - FAST_S / self.span))

    def _settle(self, requests: float) -> None:
        """Errors of forecasts whose horizon has passed, beyond what a Poisson draw around them explains."""
        still = []
        for end, expected, counted in self._pending:
            counted += requests
            if self.now < end:
                still.append((end, expected, counted))
                continue
            short = max(0.0, counted - expected) / max(expected, 1.0)
            noise = 1.0 / math.sqrt(max(expected, 1.0))
            self.error += (max(0.0, short - noise) - self.error) * ERROR_WEIGHT
        self._pending = still

    def _remember(self, start: float, seconds: float, requests: float) -> None:
        slot = int(start // SLOT_S)
        entry = self._today.setdefault(slot, [0.0, 0.0])
        entry[0] += requests
        entry[1] += seconds
        if len(self._today) > 1 and (done := min(self._today)) < slot:
            counted, span = self._today.pop(done)
            of_day = done % int(DAY_S // SLOT_S)
            known = self._days.get(of_day, counted / span)
            self._days[of_day] = known + 0.5 * (counted / span - known)

    def _growth(self, horizon_s: float) -> float:
        """How the same time of earlier days went on, within bounds; 1 before a day has passed."""
        slots = int(DAY_S // SLOT_S)
        here = self._days.get(int((self.now - 1e-6) // SLOT_S) % slots)
        there = self._days.get(int((self.now + horizon_s / 2) // SLOT_S) % slots)
        if not here or not there:
            return 1.0
        return min(GROWTH[1], max(GROWTH[0], there / here))
