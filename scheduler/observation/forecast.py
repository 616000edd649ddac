"""Arrival rate one tick ahead, from the recent counts and the time of day.

Noise and change look alike for a while, and no single length of average is right: a mean over five minutes varies by
3 % under steady demand and lags behind a burst. So any second may have begun a run of constant rate (Adams & MacKay
2007, Bayesian Online Changepoint Detection, algorithm 1, with Poisson counts and gamma-distributed rates). Each run
that is still likely keeps its own mean; every new count makes it more or less likely; the rate is the mean over runs.
Where earlier days are known, the same time of day says how demand changes within the tick. Every forecast is compared
with what came: the mean relative error sets the planner's headroom, the variance around it the caution of the price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

HAZARD_S, MEMORY_S = 1800.0, 3600.0  # a run's expected length; how long what a run has seen counts
RUNS = 96  # kept, the likeliest
YOUNG_S = 15.0  # demand has just jumped when the likely runs are younger
DAY_S, SLOT_S = 86_400.0, 300.0
GROWTH = (0.5, 2.0)  # the time of day moves a forecast by this at most
HEADROOM_MAX = 1.25
ERROR_WEIGHT = 0.1
WATCHED_S = 30.0  # counts over as long as a queue takes to follow
DISPERSION_MAX, DISPERSION_WEIGHT = 8.0, 0.1
DISPERSION_NOISE = math.sqrt(2 * DISPERSION_WEIGHT / (2 - DISPERSION_WEIGHT))  # of the average, for a Poisson stream


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


class Runs:
    """Runs of constant rate that may be going on: log weight, requests and seconds (with the prior), age of each."""

    def __init__(self) -> None:
        self._table = np.zeros((4, 0))

    def observe(self, seconds: float, requests: float, before: float) -> None:
        """Weigh every run by how well it expected this count; a new one may have begun with it.

        A new run expects what it sees first or, if that is nothing, the rate `before`, with the weight of one request.
        """
        weight, shape, span, age = self._table
        kept = math.exp(-seconds / MEMORY_S)
        born = requests / seconds or before
        change = 1 - math.exp(-seconds / HAZARD_S)
        new = np.array([math.log(change), 1.0, 1 / born, 0.0])
        old = np.stack([weight + math.log1p(-change), shape * kept, span * kept, age])
        weight, shape, span, age = np.column_stack([old, new])
        # The negative binomial's logarithm, without what is the same for all runs.
        weight = weight + gammaln(shape + requests) - gammaln(shape)
        weight -= shape * np.log1p(seconds / span) + requests * np.log1p(span / seconds)
        weight -= np.logaddexp.reduce(weight)
        table = np.stack([weight, shape + requests, span + seconds, age + seconds])
        if table.shape[1] > RUNS:
            oldest_first = np.sort(np.argpartition(-weight[:-1], RUNS - 1)[: RUNS - 1])
            table = table[:, [*oldest_first, -1]]
        self._table = table

    @property
    def rate(self) -> float:
        """Mean requests a second over the runs."""
        weight, shape, span, _ = self._table
        likely = np.exp(weight)
        return float(likely @ (shape / span) / likely.sum())

    def younger(self, seconds: float) -> float:
        """How likely it is that the rate has changed within so many seconds."""
        weight, _, _, age = self._table
        return float(np.exp(weight[age < seconds]).sum())


class Forecaster:
    """Feed it counts in order (`observe`), ask for the rate (`rate`, now) or a forecast (`ahead`)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rate = 0.0  # requests a second, now
        self.error = 0.0
        self.burst = False
        self.dispersion = 1.0  # of counts around what was expected of `WATCHED_S`: 1 for a Poisson stream
        self._runs: Runs | None = None  # from the first request on
        self._seen_s = 0.0  # since then
        self._spread = 1.0
        self._watched = (0.0, 0.0, 0.0)  # seconds left, requests expected in all, requests so far
        self._pending: list[tuple[float, float, float]] = []  # end, forecast and count so far of open forecasts
        self._today: dict[int, list[float]] = {}  # slot of the day → [requests, seconds], this day and days before
        self._days: dict[int, float] = {}

    def observe(self, start: float, seconds: float, requests: float) -> None:
        """So many requests came in [start, start + seconds)."""
        self._disperse(seconds, requests)
        if self._runs is None and requests:
            self._runs = Runs()
        if self._runs is not None:
            self._runs.observe(seconds, requests, self.rate)
            self._seen_s += seconds
            self.rate = self._runs.rate
            self.burst = self._seen_s > 2 * YOUNG_S and self._runs.younger(YOUNG_S) > 0.5
        self._remember(start, seconds, requests)
        self.now = start + seconds
        self._settle(requests)

    def ahead(self, horizon_s: float) -> Forecast:
        """The mean rate over the next `horizon_s` seconds. Its error is known, and counted, once they have passed."""
        rate = self.rate * self._growth(horizon_s)
        self._pending.append((self.now + horizon_s, rate * horizon_s, 0.0))
        return Forecast(rate, self.error, self.burst)

    def _disperse(self, seconds: float, requests: float) -> None:
        """The mean squared error over what was expected, beyond what noise makes of it."""
        left, expected, counted = self._watched
        left, counted = left - seconds, counted + requests
        if left <= 0:
            if expected:
                index = min((counted - expected) ** 2 / max(expected, 1.0), 4 * DISPERSION_MAX)
                self._spread += (index - self._spread) * DISPERSION_WEIGHT
                self.dispersion = min(DISPERSION_MAX, max(1.0, self._spread - DISPERSION_NOISE))
            left, expected, counted = WATCHED_S, self.rate * WATCHED_S * (self._seen_s >= WATCHED_S), 0.0
        self._watched = (left, expected, counted)

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
