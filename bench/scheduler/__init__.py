"""The scheduler's goals, measured in the simulator: every policy on one profile, the same traces, prompts and seeds.

    make bench-scheduler                       everything, about a quarter of an hour on one core
    python -m bench.scheduler --part planner   one part; the page is put together from the last run of each

A part is a file of this folder: what runs and how it is shown. Figures are kept in docs/results/scheduler.json, the
page is docs/results/scheduler.md. Everything but `planner` and `backlog` is simulated. The published profile and the
traces are looked for in `--shared` (default: $ARGUS_SHARED, else ../shared beside the repository).
"""
