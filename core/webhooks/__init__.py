"""Webhooks by Standard Webhooks (https://www.standardwebhooks.com): who asks is told over HTTP of jobs.

========== ========================================================
addresses  which addresses may be told, and to what they resolve
payloads   what is told
outbox     events that wait to be told, and what became of each
sending    one POST, bounded in time and size
delivery   lanes: a host each, that tell what is due
========== ========================================================
"""
