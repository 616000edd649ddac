"""What is said of pinned packages with known holes, and where nobody can be asked."""

import sys
import time

from bench.advisories import audit, judge

FINE = {"name": "flask", "version": "3.1.3", "vulns": []}
HOLED = {"name": "waitress", "version": "3.0.0", "vulns": [{"id": "CVE-2024-49768"}, {"id": "CVE-2024-49769"}]}
UNKNOWN = {"name": "argus", "skip_reason": "Dependency not found"}


def test_a_hole_fails_and_is_named():
    status, words = judge([FINE, HOLED, UNKNOWN])
    assert status == 1
    assert "waitress 3.0.0: CVE-2024-49768" in words


def test_what_was_not_asked_about_is_said():
    assert judge([FINE, UNKNOWN]) == (0, "No known holes in 1 pinned packages; of 1 nothing is known.")
    assert judge([FINE]) == (0, "No known holes in 1 pinned packages.")
    assert "not checked" in judge([UNKNOWN])[1]


def test_no_source_of_advisories_is_said_aloud_and_does_not_fail():
    broken = "import sys; sys.exit('ConnectionError: no route')"
    status, words = audit([sys.executable, "-c", broken])
    assert (status, words) == (0, "Packages are not checked for known holes: ConnectionError: no route")


def test_a_source_that_hangs_does_not_hang_the_check():
    began = time.monotonic()
    status, words = audit([sys.executable, "-c", "import time; time.sleep(600)"], patience_s=1.0)
    assert (status, "in 1 s" in words) == (0, True)
    assert time.monotonic() - began < 60
