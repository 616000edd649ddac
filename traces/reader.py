"""Arrival traces: read, cut, scale, and turn into arrival times by a seeded draw.

Three shapes of CSV (docs/formats.md): `start_s,requests` (a count a bin), `start_s,requests_per_s` (a rate a
bin), `arrival_s[,prompt,…]` (a row a request). All become one `Trace`.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from core.errors import BadTrace

SHAPES = ("start_s,requests", "start_s,requests_per_s", "arrival_s[,prompt,…]")
MINUTE = 60.0


@dataclass(frozen=True)
class Trace:
    """Demand over time. Either expected counts in bins (`starts`, `widths`, `counts`) or single arrivals (`times`).

    Seconds from the trace's own start; a bin without a row is a bin without requests (a rate holds until the next row).
    """

    name: str
    duration_s: float
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    widths: np.ndarray = field(default_factory=lambda: np.zeros(0))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    times: np.ndarray | None = None
    prompts: tuple[str, ...] | None = None
    scale: float = 1.0

    @property
    def minutes(self) -> np.ndarray:
        """Expected requests in each minute, the last one made up to a whole minute."""
        n = max(1, math.ceil(self.duration_s / MINUTE))
        edges = np.arange(n + 1) * MINUTE
        counts = np.diff(self._expected_until(edges)) * self.scale
        rest = self.duration_s - (n - 1) * MINUTE
        counts[-1] *= MINUTE / rest if 1.0 <= rest < MINUTE else 1.0
        return counts

    @property
    def busiest_minute(self) -> float:
        """Requests in the 99.9th percentile of minutes (the busiest one, where there are fewer than a thousand)."""
        return float(np.percentile(self.minutes, 99.9, method="higher"))

    def scaled_to(self, requests: float) -> Trace:
        """The same shape with so many requests in its busiest minute. Raises `BadTrace` for an empty trace."""
        if not (math.isfinite(requests) and requests > 0):
            raise BadTrace(f"--scale-to must be above 0, not {requests}", field="scale-to")
        busiest = self.busiest_minute
        if busiest <= 0:
            raise BadTrace(f"{self.name} has no requests to scale", field="scale-to")
        return replace(self, scale=self.scale * requests / busiest)

    def window(self, start_s: float = 0.0, duration_s: float | None = None) -> Trace:
        """The part in [start, start + duration), moved to begin at 0. Raises `BadTrace` when nothing does."""
        end = self.duration_s if duration_s is None else min(self.duration_s, start_s + duration_s)
        if not (math.isfinite(start_s) and 0 <= start_s < end):
            raise BadTrace(f"the window from {start_s} s is outside the trace's {self.duration_s} s", field="start")
        if self.times is not None:
            inside = (self.times >= start_s) & (self.times < end)
            prompts = self.prompts and tuple(p for p, keep in zip(self.prompts, inside, strict=True) if keep)
            return replace(self, duration_s=end - start_s, times=self.times[inside] - start_s, prompts=prompts)
        left, right = np.maximum(self.starts, start_s), np.minimum(self.starts + self.widths, end)
        keep = right > left
        share = ((right - left) / self.widths)[keep]
        return replace(
            self,
            duration_s=end - start_s,
            starts=left[keep] - start_s,
            widths=(right - left)[keep],
            counts=self.counts[keep] * share,
        )

    def arrivals(self, seed: int = 0) -> np.ndarray:
        """Sorted arrival times in seconds: a Poisson draw over the bins, or the recorded times thinned or copied."""
        times, _ = self.requests(seed)
        return times

    def requests(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """Arrival times, and for each the row of `prompts` it came from (None without recorded arrivals).

        Scaling recorded arrivals by f copies each ⌊f⌋ times and once more with probability f−⌊f⌋; copies move by up
        to half a minute, the grain of the scale, so that they do not arrive in lockstep.
        """
        rng = np.random.default_rng(seed)
        if self.times is None:
            return self._poisson(rng), None
        copies = np.full(len(self.times), int(self.scale)) + (rng.random(len(self.times)) < self.scale % 1)
        rows = np.repeat(np.arange(len(self.times)), copies)
        first = np.concatenate([[True], rows[1:] != rows[:-1]]) if len(rows) else np.zeros(0, bool)
        moved = np.where(first, 0.0, rng.uniform(-MINUTE / 2, MINUTE / 2, len(rows)))
        times = np.clip(self.times[rows] + moved, 0.0, np.nextafter(self.duration_s, 0))
        order = np.argsort(times, kind="stable")
        return times[order], rows[order]

    def _poisson(self, rng: np.random.Generator) -> np.ndarray:
        drawn = rng.poisson(self.counts * self.scale)
        bins = np.repeat(np.arange(len(drawn)), drawn)
        return np.sort(self.starts[bins] + rng.random(len(bins)) * self.widths[bins])

    def _expected_until(self, at: np.ndarray) -> np.ndarray:
        """Expected (unscaled) requests before each of these times."""
        if self.times is not None:
            return np.searchsorted(self.times, at).astype(float)
        knots = np.stack([self.starts, self.starts + self.widths], axis=1).ravel()
        done = np.cumsum(self.counts)
        expected: np.ndarray = np.interp(at, knots, np.stack([done - self.counts, done], axis=1).ravel())
        return expected


def read_trace(path: str | Path) -> Trace:
    """The trace in a CSV file of one of the three shapes. Raises `BadTrace` with the line and column at fault."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as e:
        raise BadTrace(f"trace {path}: {e}", field=str(path)) from e
    header = [name.strip() for name in rows[0]] if rows else []
    body = [(line, row) for line, row in enumerate(rows[1:], start=2) if row]
    name = Path(path).stem
    if header[:1] == ["arrival_s"]:
        return _recorded(name, header, body)
    if header[:2] in (["start_s", "requests"], ["start_s", "requests_per_s"]):
        return _binned(name, header, body)
    raise BadTrace(f"{path}: line 1: the header must be one of: {'; '.join(SHAPES)}", field="line 1")


def _recorded(name: str, header: list[str], body: list[tuple[int, list[str]]]) -> Trace:
    times = _column(name, header, body, 0, rising=True)
    prompts = None
    if "prompt" in header:
        at = header.index("prompt")
        prompts = tuple(row[at] if len(row) > at else "" for _, row in body)
    end = float(times[-1]) if len(times) else 0.0
    return Trace(name, math.floor(end) + 1.0, times=times, prompts=prompts)


def _binned(name: str, header: list[str], body: list[tuple[int, list[str]]]) -> Trace:
    starts = _column(name, header, body, 0, rising=True, strictly=True)
    amounts = _column(name, header, body, 1)
    gaps = np.diff(starts)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2]) if len(gaps) else MINUTE  # of the two middle ones the shorter
    gaps = np.append(gaps, usual)
    if header[1] == "requests_per_s":
        widths, counts = gaps, amounts * gaps
    else:
        widths, counts = np.minimum(gaps, usual), amounts
    moved = starts - starts[0]
    return Trace(name, float(moved[-1] + widths[-1]), starts=moved, widths=widths, counts=counts)


def _column(
    name: str,
    header: list[str],
    body: list[tuple[int, list[str]]],
    at: int,
    rising: bool = False,
    strictly: bool = False,
) -> np.ndarray:
    """One column as numbers, finite and not negative; `rising` refuses a value below the one before."""
    values: list[float] = []
    for line, row in body:
        try:
            value = float(row[at])
        except (IndexError, ValueError):
            value = math.nan
        where = f"{name}: line {line}: {header[at]}"
        if not math.isfinite(value) or value < 0:
            text = row[at] if len(row) > at else ""
            raise BadTrace(f"{where}: {text!r} is not a number of 0 or more", field=f"line {line}")
        if rising and values and (value < values[-1] or (strictly and value == values[-1])):
            before = f"{value:g} comes after {values[-1]:g}"
            raise BadTrace(f"{where}: {before}; sort the rows by time", field=f"line {line}")
        values.append(value)
    if not values:
        raise BadTrace(f"{name}: no rows under the header", field="line 2")
    return np.array(values)
