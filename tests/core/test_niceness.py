"""What gives way does so on a machine that schedules sessions against each other, too."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.niceness import AUTOGROUP, NICE

GIVE_WAY = """
import os
from core.niceness import AUTOGROUP, give_way
give_way()
print(os.nice(0))
print(AUTOGROUP.read_text() if AUTOGROUP.exists() else "")
"""


def shown(own_session: bool) -> list[str]:
    """The niceness of a process that gave way, then that of its session where the kernel tells it."""
    command = [sys.executable, "-c", GIVE_WAY]
    run = subprocess.run(command, start_new_session=own_session, capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_a_process_is_made_nice() -> None:
    assert int(shown(own_session=True)[0]) >= NICE


# The file is there and empty where the kernel was built with groups and they are turned off.
@pytest.mark.skipif(
    not AUTOGROUP.exists() or not AUTOGROUP.read_text().strip(), reason="no groups by session on this kernel"
)
@pytest.mark.parametrize("own_session", [True, False])
def test_a_session_of_its_own_is_made_nice_and_no_other(own_session: bool) -> None:
    before = AUTOGROUP.read_text().split()[-1]
    assert shown(own_session)[-1] == (str(NICE) if own_session else before)
