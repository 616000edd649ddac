"""Argus under fire: seeded faults one after the other, beside steady load, and a verdict from SQL and the folder.

    python -m bench.chaos --minutes 60 --faults 1000 --seed 1 --write      make chaos
    python -m bench.chaos --minutes 3 --only database

A whole `argus up` with two CPU workers runs in a home folder and on ports of its own, so nothing else on the machine is
touched. PostgreSQL stands behind a proxy that can cut what passes (`proxy.py`), images and cached latents lie on small
file systems of their own (`volume.py`), weights are a copy. What cannot be done here (no root, no C compiler) is left
out aloud.

`faults/` has a file a family of faults, each fault a context manager: entered it is injected, left it is healed. What
was done and what the client was promised stands in a ledger (`ledger.py`). Afterwards `evidence.py` reads rows, files
and workers, `verdict.py` judges them, `recovery.py` says how long each kind of fault was felt: both are pure functions,
and tests show that the judge finds what is made up for it.
"""
