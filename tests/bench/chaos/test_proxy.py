"""The proxy in front of a real PostgreSQL: what is cut was carried out, and the client cannot know."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg2
import pytest

from bench.chaos.proxy import Cut, Proxy
from tests.conftest import Services

CUT = (psycopg2.OperationalError, psycopg2.InterfaceError)


@pytest.fixture
def proxy(services: Services) -> Iterator[Proxy]:
    made = Proxy(port_of(services.superuser_url))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def table(services: Services) -> Iterator[str]:
    name = f"cut_{time.time_ns()}"
    query(services.superuser_url, f"CREATE TABLE {name} (n int)")
    yield name
    query(services.superuser_url, f"DROP TABLE {name}")


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def through(proxy: Proxy, services: Services) -> psycopg2.extensions.connection:
    return psycopg2.connect(services.superuser_url.replace(str(proxy.server_port), str(proxy.port)), connect_timeout=5)


def query(url: str, statement: str) -> list:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def insert(connection: psycopg2.extensions.connection, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} VALUES (1)")
    connection.commit()


def test_what_is_not_to_be_cut_passes(proxy: Proxy, services: Services, table: str):
    proxy.cut = Cut(b"INSERT INTO other", 1)
    connection = through(proxy, services)
    insert(connection, table)
    with connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 1000000)")
        assert len(cursor.fetchone()[0]) == 1_000_000
    connection.close()
    assert proxy.cut.done == 0


def test_a_commit_whose_answer_is_cut_was_carried_out(proxy: Proxy, services: Services, table: str):
    proxy.cut = Cut(f"INSERT INTO {table}".encode(), 1)
    with pytest.raises(CUT):
        insert(through(proxy, services), table)
    assert proxy.cut.done == 1
    assert query(services.superuser_url, f"SELECT n FROM {table}") == [(1,)]
    insert(through(proxy, services), table)  # only so many are cut
    assert len(query(services.superuser_url, f"SELECT n FROM {table}")) == 2


def test_a_commit_that_is_cut_before_it_arrives_was_not_carried_out(proxy: Proxy, services: Services, table: str):
    proxy.cut = Cut(f"INSERT INTO {table}".encode(), 1, before=True)
    with pytest.raises(CUT):
        insert(through(proxy, services), table)
    assert proxy.cut.done == 1
    assert query(services.superuser_url, f"SELECT n FROM {table}") == []


def test_a_rolled_back_transaction_does_not_mark_the_next(proxy: Proxy, services: Services, table: str):
    proxy.cut = Cut(f"INSERT INTO {table}".encode(), 1)
    connection = through(proxy, services)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} VALUES (1)")
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.commit()
    connection.close()
    assert proxy.cut.done == 0


def test_any_statement_can_be_cut(proxy: Proxy, services: Services):
    connection = through(proxy, services)
    proxy.cut = Cut(None, 1)
    with pytest.raises(CUT), connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_connections_are_dropped_and_refused_and_come_back(proxy: Proxy, services: Services):
    connection = through(proxy, services)
    proxy.refusing = True
    assert proxy.drop() == 1
    with pytest.raises(CUT), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    with pytest.raises(CUT):
        through(proxy, services)
    proxy.refusing = False
    through(proxy, services).close()


def test_what_hangs_goes_on_afterwards(proxy: Proxy, services: Services):
    connection = through(proxy, services)
    proxy.flow(False)
    timer = threading.Timer(0.5, proxy.flow, [True])
    timer.start()
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert time.monotonic() - began > 0.3
    timer.join()
    connection.close()
