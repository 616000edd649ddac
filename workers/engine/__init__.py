"""The step executor: requests at different steps share one forward.

In and out: `request.py`. The engine as seen from outside: `engine.py`; its loop, drawn: `loop.py`. The loop's parts:
`batches.py` and `running_batch.py` (rows that share forwards), `forward.py` (one forward, halved where it fails),
`level_changes.py`, `step_costs.py`. Beside the loop: `stages.py` (threads), `preparation.py` (from request to row),
`model_pool.py` and `loading.py` (weights), `preemption.py` (state of preempted requests), `registry.py` (open requests).
"""
