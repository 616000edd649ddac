"""The clients people have, pointed at Argus unchanged: each in an environment of its own, each with what it offers.

    python -m bench.clients [--only NAME …] [--write]

========== ====================================================================
clients    which there are: packages, pinned, and the script that drives each
environments virtual environments and npm folders, made once, kept under var/
scripts/   one a client: its first default call, then its list of features
page       docs/clients.md, from what the scripts printed
========== ====================================================================

A script prints a line of JSON a feature: `works`, `refused` (Argus answered 4xx and the client shows why) or `fails`.
"""
