"""Clockwork: the best level, and nothing starts that cannot end in time (Gujarati et al., OSDI 2020,
arXiv:2006.02464).

Its controller knows what each execution takes, takes requests in the order of the latest time at which they can still
start, and cancels one before it executes when that has passed (§4.3, §5.2). With one level that order is the order of
deadlines, and the rest is admission control, which here does not depend on the run: it is what Clockwork is. Its
swapping of thousands of models in and out of a GPU has nothing to do here. What is cancelled is served when a worker
would idle, which is kinder than the paper.
"""

from __future__ import annotations

from scheduler.policies.clipper_ha import ClipperHA


class Clockwork(ClipperHA):
    name = "clockwork"
    source = "Gujarati et al., Serving DNNs like Clockwork: Performance Predictability from the Bottom Up, OSDI 2020"
    lets_go = True


policy = Clockwork
