"""What `argus doctor` looks at: one function a check, each giving findings.

========== ==============================================
machine    Python and packages, disk, memory, GPUs
setup      settings, family, weights, profiles
services   ports, database, broker, workers, queues
========== ==============================================
"""
