"""Every fault is injected and healed: on a real PostgreSQL and Valkey, with sleeping processes in place of Argus."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import psutil
import psycopg2
import pytest
import redis

from bench.chaos.clock import Clock
from bench.chaos.fault import Fault, Hit
from bench.chaos.faults import FAULTS, pairs
from bench.chaos.faults.processes import NAMES
from bench.chaos.proxy import Proxy
from bench.chaos.site import Site
from bench.chaos.volume import Volume
from core.postgres import postgres
from core.services import broker_answers, valkey
from core.supervisor import Child, Supervisor

KINDS = {each.kind: each for each in FAULTS}
PATIENCE_S = 60.0
started_again = threading.Event()


class Rehearsal(Site):
    """A site whose supervisor is a process that sleeps."""

    def start_again(self) -> None:
        """Start a sleeping process in its place."""
        started_again.set()


@pytest.fixture(scope="module")
def under_fire() -> Iterator[Site]:
    """A site whose services are real and whose processes sleep; a supervisor restarts all of them."""
    with tempfile.TemporaryDirectory(prefix="argus-test-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # as root, PostgreSQL runs as nobody
        supervisor = Supervisor(home / "logs")
        images, latents = Volume(home, "images"), Volume(home, "latents")
        (home / "weights").mkdir()
        (home / "weights" / "model.safetensors").write_bytes(b"w" * 1000)
        (database, url), (broker, broker_url) = postgres(home), valkey(home)
        proxy = Proxy(int(url.rpartition(":")[2].partition("/")[0]))
        over = threading.Event()
        try:
            for volume in (images, latents):
                volume.create()
            proxy.start()
            for child in (database, broker, *(Child(name, ["sleep", "1000"]) for name in NAMES)):
                supervisor.start(child)
            settings = {"ARGUS_FAMILY": "embedded"}
            made = Rehearsal(home, settings, url, proxy, images, latents, home / "weights", Clock(home), supervisor)
            thread = threading.Thread(target=watch, args=(supervisor, home, over))
            thread.start()
            yield replace(made, broker_url=broker_url)
            over.set()
            thread.join()
        finally:
            supervisor.stop()
            proxy.stop()
            for volume in (images, latents):
                volume.remove()


def watch(supervisor: Supervisor, home: Path, over: threading.Event) -> None:
    """As `argus up` does: restart what ended, and write down what runs."""
    own = subprocess.Popen(["sleep", "1000"])
    file = home / "run" / "argus.json"
    while not over.wait(0.1):
        if started_again.is_set():
            started_again.clear()
            own.wait()
            own = subprocess.Popen(["sleep", "1000"])
        supervisor.watch_once()
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps({"pid": own.pid, "children": supervisor.pids()}))
        partial.replace(file)
    own.kill()
    own.wait()
    supervisor.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_whole(site: Site) -> bool:
    """Everything runs, answers and can be written."""
    try:
        processes = [psutil.Process(pid) for pid in (*site.pids().values(), site.supervisor())]
        states = {process.status() for process in processes}
        (site.images.link / "file").write_text("x")
        (site.latents.link / "file").write_text("x")
        weights = (site.weights / "model.safetensors").stat().st_size
        return (
            not states & {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
            and broker_answers(site.broker_url)
            and site.ask("SELECT 1") == [(1,)]
            and weights == 1000
        )
    except (psutil.Error, psycopg2.Error, OSError, ValueError, KeyError):
        return False


def injected(site: Site, each: Fault) -> Hit:
    with each.inject(site, Random(1)) as hit:
        return hit


MET_HERE = [each for each in FAULTS if each.family not in ("messages", pairs.FAMILY) and "cut" not in each.kind]
NEED_CLIENTS = {"broadcasts lost", "valkey's connections killed", "backend killed"}
NEED_CLIENTS |= {"connections terminated", "all connections terminated", "all connections dropped"}


@pytest.mark.parametrize("kind", sorted({each.kind for each in MET_HERE} - NEED_CLIENTS))
def test_a_fault_meets_its_target_and_afterwards_all_is_whole_again(under_fire: Site, kind: str):
    if why := KINDS[kind].missing(under_fire):
        pytest.skip(why)
    wait_for(lambda: is_whole(under_fire))
    broker = under_fire.pids()["valkey"]
    assert injected(under_fire, KINDS[kind]).met
    if kind in ("valkey stopped", "valkey killed", "valkey's folder deleted"):  # it answers while it ends
        wait_for(lambda: under_fire.pids().get("valkey") != broker)
    wait_for(lambda: is_whole(under_fire))


@pytest.mark.parametrize("kind", sorted(NEED_CLIENTS))
def test_a_fault_that_finds_nobody_says_so_and_does_no_harm(under_fire: Site, kind: str):
    wait_for(lambda: is_whole(under_fire))
    assert not injected(under_fire, KINDS[kind]).met or "killed" in kind
    wait_for(lambda: is_whole(under_fire))


def test_an_emptied_broker_is_empty_and_its_pub_sub_clients_are_cut_off(under_fire: Site):
    wait_for(lambda: is_whole(under_fire))
    with under_fire.broker() as client, client.pubsub() as listener:
        client.lpush("router", "message")
        listener.subscribe("news")
        listener.get_message(timeout=5)
        assert injected(under_fire, KINDS["valkey emptied"]).met
        assert client.llen("router") == 0
        assert injected(under_fire, KINDS["broadcasts lost"]).met
        with pytest.raises(redis.ConnectionError):
            listener.connection.read_response()


def test_messages_are_dropped_doubled_and_malformed(under_fire: Site):
    wait_for(lambda: is_whole(under_fire))
    with under_fire.broker() as client:
        client.flushall()
        for each in ("messages dropped", "a message doubled"):
            assert not injected(under_fire, KINDS[each]).met
        assert injected(under_fire, KINDS["messages malformed"]).met
        assert sum(client.llen(key) for key in client.scan_iter()) == 3
        client.flushall()
        for queue in ("router", "scheduler", "quality", *(f"t2i.embedded.{level}" for level in ("exact", "ac-3"))):
            client.lpush(queue, "2", "1")
        before = sum(client.llen(key) for key in client.scan_iter())
        assert injected(under_fire, KINDS["a message doubled"]).met
        assert sum(client.llen(key) for key in client.scan_iter()) == before + 1
        assert injected(under_fire, KINDS["messages dropped"]).met
        assert sum(client.llen(key) for key in client.scan_iter()) < before + 1
        client.flushall()


def test_connections_are_terminated_and_a_backend_is_killed(under_fire: Site):
    wait_for(lambda: is_whole(under_fire))
    for kind in ("connections terminated", "backend killed"):
        wait_for(lambda: is_whole(under_fire))
        connection = psycopg2.connect(under_fire.url, application_name="argus")
        assert injected(under_fire, KINDS[kind]).met
        time.sleep(0.5)
        with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    wait_for(lambda: is_whole(under_fire))


def test_a_clock_that_steps_is_that_of_processes_with_its_settings(under_fire: Site):
    if why := KINDS["clock steps"].missing(under_fire):
        pytest.skip(why)

    def off_s() -> float:
        words = [sys.executable, "-c", "import time; print(time.time())"]
        told = subprocess.run(words, env=settings, capture_output=True, text=True, check=True).stdout
        return float(told) - time.time()

    settings = under_fire.clock.environ()
    assert abs(off_s()) < 30
    with KINDS["clock steps"].inject(under_fire, Random(3)) as hit:
        step_s = int(hit.target.removesuffix(" s"))
        assert abs(step_s) >= 60
        assert abs(off_s() - step_s) < 30
    assert abs(off_s()) < 30


def test_two_faults_of_different_families_are_held_at_once_and_both_healed(under_fire: Site):
    kinds, met = set(), 0
    for seed in range(12):
        wait_for(lambda: is_whole(under_fire))
        with KINDS[pairs.KIND].inject(under_fire, Random(seed)) as hit:
            first, second = (KINDS[kind] for kind in hit.target.split(" + "))
            assert first.family != second.family
            kinds |= {first.kind, second.kind}
            met += hit.met
    wait_for(lambda: is_whole(under_fire))
    assert len(kinds) > 12
    assert met > 0
    assert not kinds & pairs.ALONE
