"""The step executor: requests at different steps share one forward.

| what | files |
| --- | --- |
| in and out; the engine from outside; its loop, drawn | `request.py` · `engine.py` · `loop.py`, `loop_thread.py` |
| one request on its way; all open ones | `running_request.py`, `waiting.py` · `registry.py` |
| rows that share forwards; their number; costs | `running_batch.py`, `batches.py` · `row_limit.py` · `step_costs.py` |
| one step, and what it tells when the device has done it | `forward.py`, `launched_step.py`, `streams.py` |
| beside the loop: encode, decode, store | `stages.py`, `preparation.py` |
| a row in a parallel mode | `forward.py`, `workers/parallel/way.py` |
| what a request is heading for, step by step | `clean_latents.py`, `previews.py` |
| models: waiting for, holding and loading them | `model_queue.py`, `model_pool.py`, `loading.py` |
| LoRAs on them: getting and holding them | `lora_stage.py`, `lora_store.py` |
| changing level; preemption | `level_changes.py` · `preemption.py` |
| what goes wrong, and how everything ends then | `faults.py`, `failures.py` |
"""
