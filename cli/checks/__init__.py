"""What `argus doctor` looks at: one function a check, each giving findings.

========== ==============================================
machine    Python and packages, disk, memory
gpus       NVIDIA GPUs, and what the family needs of them
setup      settings, family, weights, profiles
services   ports, database, broker, workers, queues
files      the image store against the rows, all of it (`--deep`)
========== ==============================================
"""
