"""Policies: Argus and the published baselines, one small file each, one interface, live and simulated.

A policy is five decisions. None knows the database, the broker or the simulator: plain dataclasses go in and come out
(`decisions.py`), and everything that one decision hands to the next travels in the `Epoch`, which is JSON, because live
they run in different processes.

===================  ==========================  ======================================================================
decision             where it runs live          what it decides
===================  ==========================  ======================================================================
`plan(observed)`     scheduler tick              workers per model, load per level, prices: an `Epoch`
`route(...)`         router worker               the level a new request is queued at
`admit(...)`         a worker with room          which waiting request starts, at which level of the model it holds;
                                                 which waiting ones can no longer be in time
`realign(...)`       scheduler tick              levels for what waits, after a new plan
`finished(...)`      after the score             a better level to regenerate at, or None
===================  ==========================  ======================================================================

Times are seconds on one clock; rates are requests a second in `LoadState` and requests a minute in `Plan` (as in
`argus solve`). `make_policy("argus", cluster)` makes one; `NAMES` lists them.
"""

from scheduler.policies.base import Policy
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import PLAN_FORMAT, Admission, Epoch, LoadState, Observation, Request, Started, Worker
from scheduler.policies.registry import NAMES, make_policy, policy_class

__all__ = [
    "NAMES",
    "PLAN_FORMAT",
    "Admission",
    "Cluster",
    "Epoch",
    "LoadState",
    "Observation",
    "Policy",
    "Request",
    "Started",
    "Worker",
    "make_policy",
    "policy_class",
]
