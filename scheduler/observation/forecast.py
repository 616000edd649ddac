"""Arrival rate one tick ahead, from the recent counts and the time of day.

Noise and change look alike for a while, and no single length of average is right: a mean over five minutes varies by
3 % under steady demand and lags behind a burst. So any second may have begun a run of constant rate (Adams & MacKay
2007, Bayesian Online Changepoint Detection, algorithm 1, with Poisson counts and gamma-distributed rates). Each run
that is still likely keeps its own mean; every new count makes it more or less likely; the rate is the mean over runs.
What it has changed by of late it is expected to change by again (Holt's linear trend; the runs do the smoothing), and
where earlier days are known, by what it changed at the same time of day. Every forecast is compared with what came: the
mean relative error sets the planner's headroom, the variance around it the caution of the price.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

HAZARD_S = 1800.0  # expected length of a run
MEMORY_S = 3600.0  # time constant with which a run forgets its counts
RUNS = 96  # the likeliest, which are kept
YOUNG_S = 15.0  # demand has just jumped when the likely runs are younger
DAY_S, SLOT_S = 86_400.0, 300.0  # rates by time of day are kept for slots of this length
GROWTH = (0.5, 2.0)  # the time of day changes a forecast by these factors at most
TREND_S = 10.0  # a change of the rate over so long is expected to go on for as long again
FALL_MAX = 0.5  # share of the rate that a fall may take off it
HEADROOM_MAX = 1.25
ERROR_WEIGHT = 0.1  # of the newest error in the running mean
WINDOW_S = 30.0  # dispersion is of counts in such windows: about the time that a queue takes to follow demand
DISPERSION_MAX, DISPERSION_WEIGHT = 8.0, 0.1
DISPERSION_NOISE = math.sqrt(2 * DISPERSION_WEIGHT / (2 - DISPERSION_WEIGHT))  # deviation of the mean, for Poisson


@dataclass(frozen=True)
class Forecast:
    """What is expected over a horizon."""

    rate: float  # requests a second
    error: float  # recent mean relative error of forecasts
    burst: bool  # demand has just jumped

    @property
    def headroom(self) -> float:
        """What the planner divides capacity by: demand may be one mean error above the forecast."""
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
        """Probability that the rate has changed within the last `seconds`."""
        weight, _, _, age = self._table
        return float(np.exp(weight[age < seconds]).sum())


class Forecaster:
    """Takes counts in order of time (`observe`); answers the present rate (`rate`), what to reckon with (`coming`), and
    forecasts (`ahead`)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rate = 0.0  # requests a second, now
        self.error = 0.0  # mean relative shortfall of forecasts that have come due
        self.burst = False
        self.dispersion = 1.0  # variance over mean of counts in `WINDOW_S`: 1 for a Poisson stream
        self._rates: deque[tuple[float, float]] = deque()  # until when, and the rate then, of the last `TREND_S`
        self._runs: Runs | None = None  # from the first request on
        self._observed_s = 0.0  # since then
        self._mean_dispersion = 1.0  # before what its own noise adds is taken off
        self._window = (0.0, 0.0, 0.0)  # seconds left, requests expected in all, requests so far
        self._pending: list[tuple[float, float, float]] = []  # end, forecast and count so far of open forecasts
        self._open_slots: dict[int, list[float]] = {}  # slot since 1970 → [requests, seconds]
        self._days: dict[int, float] = {}  # slot of the day → requests a second, averaged over days

    def observe(self, start: float, seconds: float, requests: float) -> None:
        """Count `requests` that came in [start, start + seconds), Unix time."""
        self._update_dispersion(seconds, requests)
        if self._runs is None and requests:
            self._runs = Runs()
        if self._runs is not None:
            self._runs.observe(seconds, requests, self.rate)
            self._observed_s += seconds
            self.rate = self._runs.rate
            self.burst = self._observed_s > 2 * YOUNG_S and self._runs.younger(YOUNG_S) > 0.5
        self._update_day(start, seconds, requests)
        self.now = start + seconds
        self._rates.append((self.now, self.rate))
        while self._rates[0][0] < self.now - TREND_S:
            self._rates.popleft()
        self._score_forecasts(requests)

    @property
    def coming(self) -> float:
        """Requests a second to reckon with: who starts now keeps those waiting that come until it has ended. While
        demand rises towards a peak, or falls after it, the rate that was is behind that."""
        before = self._rates[0][1] if self._rates else self.rate
        return max(FALL_MAX * self.rate, 2 * self.rate - before)

    def ahead(self, horizon_s: float) -> Forecast:
        """The mean rate over the next `horizon_s` seconds. Its error is known, and counted, once they have passed."""
        rate = self.coming * self._growth(horizon_s)
        self._pending.append((self.now + horizon_s, rate * horizon_s, 0.0))
        return Forecast(rate, self.error, self.burst)

    def _update_dispersion(self, seconds: float, requests: float) -> None:
        """Running mean of (count − expected)² / expected by window, less the noise of that mean."""
        left, expected, counted = self._window
        left, counted = left - seconds, counted + requests
        if left <= 0:
            if expected:
                index = min((counted - expected) ** 2 / max(expected, 1.0), 4 * DISPERSION_MAX)
                self._mean_dispersion += (index - self._mean_dispersion) * DISPERSION_WEIGHT
                self.dispersion = min(DISPERSION_MAX, max(1.0, self._mean_dispersion - DISPERSION_NOISE))
            left, expected, counted = WINDOW_S, self.rate * WINDOW_S * (self._observed_s >= WINDOW_S), 0.0
        self._window = (left, expected, counted)

    def _score_forecasts(self, requests: float) -> None:
        """Errors of forecasts whose horizon has passed: the shortfall that Poisson noise does not explain."""
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

    def _update_day(self, start: float, seconds: float, requests: float) -> None:
        """Once a slot has passed, its rate moves the average over days half of the way."""
        slot = int(start // SLOT_S)
        entry = self._open_slots.setdefault(slot, [0.0, 0.0])
        entry[0] += requests
        entry[1] += seconds
        if len(self._open_slots) > 1 and (done := min(self._open_slots)) < slot:
            counted, span = self._open_slots.pop(done)
            of_day = done % int(DAY_S // SLOT_S)
            known = self._days.get(of_day, counted / span)
            self._days[of_day] = known + 0.5 * (counted / span - known)

    def _growth(self, horizon_s: float) -> float:
        """Ratio of the rates at this time of day and within the horizon, on earlier days; 1 until a day has passed."""
        slots = int(DAY_S // SLOT_S)
        here = self._days.get(int((self.now - 1e-6) // SLOT_S) % slots)
        there = self._days.get(int((self.now + horizon_s / 2) // SLOT_S) % slots)
        if not here or not there:
            return 1.0
        return min(GROWTH[1], max(GROWTH[0], there / here))
