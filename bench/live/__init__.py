"""Argus against baselines, live: real services, real images, real scores, one policy after the other.

    python -m bench.live --minutes 10 --write      argus, clipper-ha and pac: about three quarters of an hour
    python -m bench.live --minutes 0.5 --policies argus

Each policy gets a fresh Argus (`argus up` in a home folder of its own: database, broker, two CPU workers of one thread,
scorer) and the same arrivals, prompts and seeds: the minutes around the burst of the Twitter trace, scaled so that
their mean is `--load` × exact capacity. Exact capacity is what two processes at `exact` carry here and now, profiled at
the same time; that profile is the one in force for every policy. After the replay, outside the timed part, a sample of
the requests is drawn again at `exact`: score over score is measured relative quality.

Each run leaves `record.json.gz` in its home, and with `--write` in docs/results/live-runs/: what the simulator needs to
run it again (`python -m bench.scheduler --part validate`). Figures go to docs/results/live.json, the page is
docs/results/live.md (`--write`). The trace is looked for in $ARGUS_SHARED, else in ../shared beside the repository.
"""
