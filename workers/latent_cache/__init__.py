"""Approximate caching: latents of finished requests by prompt.

`cache.py` puts it together: `entries.py` what is found, `exact_index.py` and `vector_index.py` find it, `store.py` has
the bytes, `depths.py` says after which steps latents are stored.
"""
