"""The simulator: discrete events on a virtual clock around the live planner, router, aligner and policies.

`simulate(config, workload) -> Report`. What is modelled: arrivals, queues, workers with their batch curves, load times,
ticks, failures. What is not: steps as events (a batch is a shared rate that changes when rows join or leave). What a
live system loses besides (hand-over, old snapshots, spread of service times) is, where `SimConfig` says how much. Every
number that comes out of here is simulated, and is called so.
"""

from scheduler.simulate.config import GangSetting, SimConfig
from scheduler.simulate.loop import simulate, simulate_outcomes
from scheduler.simulate.report import Report
from scheduler.simulate.schedule import Recorder
from scheduler.simulate.workload import Workload, synthetic_quality, workload

__all__ = [
    "GangSetting",
    "Recorder",
    "Report",
    "SimConfig",
    "Workload",
    "simulate",
    "simulate_outcomes",
    "synthetic_quality",
    "workload",
]
