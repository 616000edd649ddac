"""The MILP of `scheduler.planning.milp` as matrices: columns, objectives, constraints."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint
from scipy.sparse import csr_array

from scheduler.planning.instance import Instance

FEASIBLE = 1e-7  # HiGHS' own feasibility tolerance: bounds carried from stage to stage are loosened by this share


class Program:
    """Columns x[c,l], y[l,d], n[d,m], u[d,m] in this order; objectives and rows over them.

    `x`, `y` and `n` list the indices of their columns; u has those of n.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        placements = instance.placements
        self.levels = {level.id: level for level, _ in placements}
        self.x = [(c, lv) for c in instance.classes for lv in self.levels if c.allows(lv)]
        self.y = [(level.id, device) for level, device in placements]
        self.n = list(dict.fromkeys((device, level.holds) for level, device in placements))
        self.at_y = len(self.x)
        self.at_n = self.at_y + len(self.y)
        self.at_u = self.at_n + len(self.n)
        self.width = self.at_u + len(self.n)
        self.serve = self._over(slice(0, self.at_y), [c.weight for c, _ in self.x])
        self.quality = self._over(slice(0, self.at_y), [c.weight * c.quality[lv] for c, lv in self.x])
        self.moves = self._over(slice(self.at_u, self.width), [1.0] * len(self.n))
        self.whole = self._over(slice(self.at_n, self.at_u), [1.0] * len(self.n))
        self.current = np.array([instance.holding(d, m) for d, m in self.n])
        self.demand = sum(c.weight * c.demand for c in {c.id: c for c, _ in self.x}.values())
        self.rows = self._rows()
        self.bounds = self._bounds()

    @property
    def forced_moves(self) -> int:
        """Workers that hold no model that could run on them: they load whatever is planned."""
        return sum(self.forced_moves_of(device) for device in dict.fromkeys(device for device, _ in self.n))

    def forced_moves_of(self, device: str) -> int:
        """Those of one device type."""
        holding = sum(int(n) for (d, _), n in zip(self.n, self.current, strict=True) if d == device)
        return self.instance.devices[device] - holding

    def time(self, level: str, device: str) -> float:
        """Worker-minutes that one request a minute takes, headroom included."""
        return self.instance.headroom / self.levels[level].throughput[device]

    def at_least(self, score: np.ndarray, reached: float, slack: float = 0.0) -> LinearConstraint:
        """C8: an objective keeps what it reached, within the tolerance and `slack` (both relative)."""
        slack = max(slack, FEASIBLE) * max(1.0, abs(reached))
        return LinearConstraint(csr_array(score[None, :]), reached - slack, np.inf)

    def _rows(self) -> list[LinearConstraint]:
        inst, n = self.instance, range(len(self.n))
        of_class = {c.id: i for i, c in enumerate(inst.classes)}
        of_level = {level: i for i, level in enumerate(self.levels)}
        of_group = {key: i for i, key in enumerate(self.n)}
        of_device = {d: i for i, d in enumerate(dict.fromkeys(d for d, _ in self.n))}
        workers = [inst.devices[d] for d in of_device]

        # C1 No class is served more than it asks for.
        c1 = [(of_class[c.id], i, 1.0) for i, (c, _) in enumerate(self.x)]
        # C2 What a level takes runs on its devices.
        c2 = [(of_level[lv], i, 1.0) for i, (_, lv) in enumerate(self.x)]
        c2 += [(of_level[lv], self.at_y + j, -1.0) for j, (lv, _) in enumerate(self.y)]
        # C3 The levels of a model share its workers' time.
        c3 = [(of_group[d, self.levels[lv].holds], self.at_y + j, self.time(lv, d)) for j, (lv, d) in enumerate(self.y)]
        c3 += [(k, self.at_n + k, -1.0) for k in n]
        c3 += [(k, self.at_u + k, inst.lost(d, m)) for k, (d, m) in enumerate(self.n)]
        loading = np.array([inst.loading.get(d, {}).get(m, 0) for d, m in self.n], float)
        # C4 Every worker holds one model.
        c4 = [(of_device[d], self.at_n + k, 1.0) for k, (d, _) in enumerate(self.n)]
        # C6 A worker more than there are now has to load.
        c6 = [(k, self.at_n + k, 1.0) for k in n] + [(k, self.at_u + k, -1.0) for k in n]
        # C7 Few workers of a device type begin to load at once; those that hold nothing have to.
        c7 = [(of_device[d], self.at_u + k, 1.0) for k, (d, _) in enumerate(self.n)]
        moves = [max(inst.max_moves.get(d, workers[i]), self.forced_moves_of(d)) for d, i in of_device.items()]

        demand = np.array([c.demand for c in inst.classes], float)
        return [
            LinearConstraint(self._matrix(len(of_class), c1), -np.inf, demand),
            LinearConstraint(self._matrix(len(of_level), c2), np.zeros(len(of_level)), np.zeros(len(of_level))),
            LinearConstraint(self._matrix(len(self.n), c3), -np.inf, -loading),
            LinearConstraint(self._matrix(len(of_device), c4), workers, workers),
            LinearConstraint(self._matrix(len(self.n), c6), -np.inf, self.current),
            LinearConstraint(self._matrix(len(of_device), c7), -np.inf, moves),
        ]

    def _bounds(self) -> Bounds:
        lower, upper = np.zeros(self.width), np.full(self.width, np.inf)
        # C5 Workers inside their dwell time stay.
        lower[self.at_n : self.at_u] = [self.instance.pinned.get(d, {}).get(m, 0) for d, m in self.n]
        upper[self.at_n :] = [self.instance.devices[d] for d, _ in self.n] * 2
        return Bounds(lower, upper)

    def _over(self, columns: slice, values: list[float]) -> np.ndarray:
        vector = np.zeros(self.width)
        vector[columns] = values
        return vector

    def _matrix(self, height: int, entries: list[tuple[int, int, float]]) -> csr_array:
        rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        return csr_array((values, (rows, columns)), shape=(height, self.width))
