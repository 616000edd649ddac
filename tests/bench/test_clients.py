"""The table of clients: every script is there, is pinned, and its page says what was seen."""

import json
import os
import subprocess
import sys

import pytest

from bench.clients.clients import CLIENTS
from bench.clients.environments import SCRIPTS
from bench.clients.page import POINTING, page
from core.settings import ROOT

RUN = {"command": "c", "measured": "m", "machine": "x", "family": "embedded", "family_version": "4"}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_has_its_script_and_pinned_packages(client):
    assert (SCRIPTS / client.script).is_file()
    pin = "==" if client.language == "python" else "@"
    assert all(pin in package.lstrip("@") for package in client.packages)


def test_a_script_says_of_each_feature_how_it_ended(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from features import Refused, expect, feature\n"
        "@feature('one')\ndef one():\n    return 'seen'\n"
        "@feature('two')\ndef two():\n    raise Refused('text only')\n"
        "@feature('three')\ndef three():\n    expect(False, 'an image')\n"
    )
    environ = {**os.environ, "ARGUS_URL": "http://127.0.0.1:1", "PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, str(script)], env=environ, capture_output=True, text=True, check=True)
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["outcome"] for one in ended] == ["works", "refused", "fails"]
    assert ended[2]["detail"].startswith("AssertionError: expected an image")


def test_what_is_written_by_hand_on_the_page_is_what_the_next_run_writes():
    assert (ROOT / "docs/clients.md").read_text().startswith(POINTING)


def test_the_page_counts_what_works_and_names_what_fails():
    features = [
        {"feature": "default call", "outcome": "works", "detail": "PNG"},
        {"feature": "edit", "outcome": "refused", "detail": "a | b"},
        {"feature": "stream", "outcome": "fails", "detail": "no\nevents"},
    ]
    shown = page({"run": RUN, "clients": [{"name": "openai", "version": "1", "features": features}]})
    assert "First calls that drew: 1 of 1. Of 3 features 1 work, 1 are refused" in shown
    assert "| openai 1 | edit | clear refusal | a \\| b |" in shown
    assert "| openai 1 | stream | **fails** | no events |" in shown
