"""Submissions and streams answered 429: counted by this process, for there is no row of them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

REGISTRY = CollectorRegistry()
HELP = "Requests answered 429 by this web process since it started, by error code."
REFUSED = Counter("argus_refused", HELP, ["code"], registry=REGISTRY)
