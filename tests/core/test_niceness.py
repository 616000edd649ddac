"""What gives way does so on a machine that schedules sessions against each other, too."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.niceness import AUTOGROUP, NICE

SHOW = "import os; from core.niceness import AUTOGROUP, give_way; give_way(); print(os.nice(0), AUTOGROUP.read_text())"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no groups by session")
@pytest.mark.parametrize("own_session", [True, False])
def test_a_session_of_its_own_is_made_nice_and_no_other(own_session: bool) -> None:
    before = AUTOGROUP.read_text().split()[-1]
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], start_new_session=own_session, capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(shown[0]) >= NICE
    assert shown[-1] == (str(NICE) if own_session else before)
