"""Policies by name. A new one is a file of this folder with a `policy = <its class>`, and a line here."""

from __future__ import annotations

import importlib

from core.errors import BadInput
from scheduler.policies.base import Policy
from scheduler.policies.cluster import Cluster

NAMES = (
    "clipper-ha",
    "clipper-ht",
    "nirvana",
    "sommelier",
    "proteus",
    "pac",
    "diffserve",
    "hadis",
    "modm",
    "clockwork",
    "tetriserve",
    "genserve",
    "argus-paper",
    "argus",
    "oracle",
)


def make_policy(name: str, cluster: Cluster) -> Policy:
    """The policy of that name over a cluster; raises as `policy_class` does."""
    return policy_class(name)(cluster)


def policy_class(name: str) -> type[Policy]:
    """The policy's class. `BadInput` lists the names there are."""
    if name not in NAMES:
        raise BadInput(f"unknown policy {name!r}; there are {', '.join(NAMES)}", field="policy")
    module = importlib.import_module(f"scheduler.policies.{name.replace('-', '_')}")
    return module.policy  # type: ignore[no-any-return]
