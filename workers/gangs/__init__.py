"""Several workers of one host draw one image together, in a mode of `workers.parallel`.

::

    leader                          PostgreSQL (`core.gangs`)        idle workers
      │ who is idle?  ◀──────────────── worker, attempt                   │
      │ ask ─────────────────────────▶  gang                              │
      │ join_gang, remote control ───────────────────────────────────────▶│
      │                                 willing ◀──────────────── answer  │
      │ close: members, address ─────▶  members ─────────────────▶ which rank?
      │◀───────────────── torch.distributed: a turn, a turn, … ──────────▶│
      │ good-bye ────────────────────────────────────────────────────────▶│

The leader is the worker that claimed the request; its engine draws it as a row by itself (`workers.parallel.way`). A
member has nothing else to do, and begins nothing until it has left. Whoever is lost or silent for `SILENT_S` costs the
mode, never the image: the leader goes on in serial steps from the last whole turn.

| what | file |
| --- | --- |
| the leader's side | `leading.py` |
| a member's | `joining.py` |
| what both do alike | `company.py` |
"""
