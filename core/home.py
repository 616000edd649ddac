"""The home folder: what lies in it is for its owner only.

Prompts and images are somebody's, `run/` has passwords. Where Argus is root, PostgreSQL's own id must pass through the
home folder to its data: the folder's group is that id's, which may pass and not look.
"""

from __future__ import annotations

import os
from pathlib import Path

from core.settings import default_home

OWNER_ONLY = 0o700
PASSING = 0o710


def make_private(home: Path, passing: int | None) -> None:
    """Make the home folder, and close it and the folders in it to others; files made from now on are closed too.

    A home folder that somebody else made, and named by ARGUS_HOME, keeps its own mode: it may be shared, like /srv.

    Args:
        passing: id of the group that may pass through; None: nobody else.
    """
    os.umask(0o077)
    if not home.exists() or home == default_home():
        home.mkdir(parents=True, exist_ok=True)
        if passing is not None:
            os.chown(home, -1, passing)
        home.chmod(OWNER_ONLY if passing is None else PASSING)
    for folder in home.iterdir():
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(OWNER_ONLY)
