"""Which level a request gets whatever its prompt: then nothing has to be predicted before it is sent."""

from __future__ import annotations

from dataclasses import replace

from scheduler.policies.argus import Argus
from scheduler.policies.base import Policy
from scheduler.policies.decisions import Epoch, LoadState, Request


def route_unread(policy: Policy, request: Request, epoch: Epoch, state: LoadState) -> str | None:
    """The level of a new request where that is the same whatever is predicted of its prompt; else None.

    Argus' best level is, where it wins although the prompt keeps at every other level the most that any prompt does
    (`quality_caps`): what Argus compares, quality less price, rises with the quality. Of no other policy is it known.
    """
    if not isinstance(policy, Argus):
        return None
    best = policy.caps.index(max(policy.caps))
    level = policy.route(replace(request, quality=policy.caps), epoch, state)
    return level if level == policy.levels[best] and policy.caps.count(policy.caps[best]) == 1 else None
