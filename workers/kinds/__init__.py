"""Samplers of other kinds of job, a file each, over plain callables: restore (`p2l`), fuse (`ddfm`), translate (`ddbm`
along `bridges`), fill (`sdm`); what a picture went through (`operators`); the plain loop that they share (`diffusion`).

No file knows a family, a request or the engine (docs/decisions/0139).
"""
