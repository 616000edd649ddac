"""Three minutes of faults of every family against a whole Argus. Judged is what holds afterwards, not how fast."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from bench.chaos.faults import FAULTS
from bench.chaos.ledger import Ledger
from bench.chaos.run import Wanted, run
from tests.live.toy import make_family, make_profile

FAULTS_INJECTED = 16
WANTED = Wanted(minutes=2.0, faults=FAULTS_INJECTED, seed=13, per_minute=40.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_after_faults_of_every_family_nothing_is_lost_doubled_or_left_behind(capsys: pytest.CaptureFixture[str]):
    with tempfile.TemporaryDirectory(prefix="argus-chaos-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # as root, PostgreSQL runs as nobody
        (home / "family").mkdir()
        family = make_family(home / "family")
        make_profile(home)
        with capsys.disabled():  # what is left out is said aloud
            found = run(
                WANTED, home, ["a fox", "two red apples", "a castle"], lambda text: print(f"chaos: {text}"), family
            )
        ledger = Ledger.read(home / "ledger.jsonl")
        told = json.dumps(found, indent=1)
    assert found["findings"] == [], told
    assert len(ledger.strikes) == FAULTS_INJECTED
    left_out = {each.family for each in FAULTS if each.kind in found["skipped"]}
    assert {strike.family for strike in ledger.strikes} >= {each.family for each in FAULTS} - left_out
    assert found["counts"]["promised"] > 20, told
    assert found["counts"]["images"] >= found["counts"]["promised"], told
