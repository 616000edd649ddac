"""How long it takes to find the nearest kept prompt: exactly in memory, and by pgvector's HNSW.

The vectors are embeddings of real DiffusionDB prompts, recombined: each further one is a weighted mean of two real ones
(the first weighs a half to all) with a little noise, so that every one is distinct and has neighbours as near as
prompts have. What is looked up is made the same way and is not among them. Three kinds share the table, as they do in
use: a common one (75 %), one a third as common (24.75 %: finished latents), and a rare one (0.25 %: another size).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from core.cached_latents import Kind
from workers.latent_cache.entries import WIDTH, Entry, Index
from workers.latent_cache.exact_index import ExactIndex
from workers.latent_cache.vector_index import NEAREST, VectorIndex, as_text

KINDS = (
    Kind("bench", "large", "1", 128, 128, 12, "euler"),
    Kind("bench", "*", "1", 128, 128, 0, "*"),
    Kind("bench", "large", "1", 64, 64, 12, "euler"),
)
SHARES = (0.75, 0.2475, 0.0025)
NOISE = 0.2  # length of what is added to a recombined vector
CLOSE = 1e-3  # a similarity within this of the best counts as right
BUILD_MEMORY = "1GB"
PLANNED = 1_500_000


def alike(real: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Unit vectors [size, 384] like the real ones, none of them among those."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(len(real), size=(2, size))
    weight = rng.uniform(0.5, 1.0, (size, 1))
    noise = rng.normal(size=(size, WIDTH)) * NOISE / WIDTH**0.5
    return unit(weight * real[first] + (1 - weight) * real[second] + noise)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    units: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def bench(real: np.ndarray, sizes: Sequence[int], lookups: int = 300) -> list[dict[str, Any]]:
    """A row for each index and size. `real` are embeddings [n, 384] of real prompts."""
    rows = []
    for size in sizes:
        kept = np.concatenate([unit(real[:size]), alike(real, max(0, size - len(real)), seed=0)])
        kinds = np.random.default_rng(1).choice(len(KINDS), size, p=SHARES)
        asked = alike(real, lookups, seed=2)
        whose = np.random.default_rng(3).choice(len(KINDS), lookups, p=SHARES)
        rows += [_exact(kept, kinds, asked, whose), _hnsw(kept, kinds, asked, whose)]
    return sorted(rows, key=lambda row: (str(row["index"]), int(row["prompts"])))


def _exact(kept: np.ndarray, kinds: np.ndarray, asked: np.ndarray, whose: np.ndarray) -> dict[str, Any]:
    index = ExactIndex()
    for number, (vector, kind) in enumerate(zip(kept, kinds, strict=True)):
        index.add(KINDS[kind], vector, [Entry(f"{number}-3", 3, 0)])
    return {
        "index": "numpy, exact",
        "prompts": len(kept),
        **_looked_up(index, kept, kinds, asked, whose),
        "table_mb": kept.nbytes / 1e6,
        "index_mb": 0.0,
    }


def _hnsw(kept: np.ndarray, kinds: np.ndarray, asked: np.ndarray, whose: np.ndarray) -> dict[str, Any]:
    with _postgres() as engine:
        load_s, build_s = _fill(engine, kept, kinds)
        index = VectorIndex(engine)
        times = _looked_up(index, kept, kinds, asked, whose)
        searched = [_in_database(engine, KINDS[kind], vector) for vector, kind in zip(asked[:50], whose, strict=False)]
        table, own = _bytes(engine)
        return {
            "index": "pgvector, HNSW",
            "prompts": len(kept),
            **times,
            "search_p50_ms": 1000 * statistics.median(searched),
            "load_s": load_s,
            "build_s": build_s,
            "insert_ms": 1000
            * _median(lambda n: index.add(KINDS[0], asked[n % len(asked)], [Entry(f"new{n}-3", 3, 0)]), 50),
            "touch_ms": 1000 * _median(lambda n: index.touch(f"{n}-3"), 50),
            "table_mb": table / 1e6,
            "index_mb": own / 1e6,
        }


def _looked_up(
    index: Index, kept: np.ndarray, kinds: np.ndarray, asked: np.ndarray, whose: np.ndarray
) -> dict[str, float]:
    """Times of look-ups as a worker makes them, and how often they find one as near as the nearest."""
    same = [kept[kinds == kind] for kind in range(len(KINDS))]
    best = [float((same[kind] @ vector).max(initial=0)) for vector, kind in zip(asked, whose, strict=True)]
    for vector in asked[:20]:
        index.nearest(KINDS[0], vector)  # connections open, pages in memory
    seconds, right = [], 0
    for vector, kind, most in zip(asked, whose, best, strict=True):
        began = time.perf_counter()
        match = index.nearest(KINDS[kind], vector)
        seconds.append(time.perf_counter() - began)
        right += (match.similarity if match else 0.0) > most - CLOSE
    quantiles = {f"p{p}_ms": 1000 * float(np.percentile(seconds, p)) for p in (50, 95, 99)}
    return {**quantiles, "right": right / len(asked), "nearest_p50": float(np.median(best))}


def _median(work: Callable[[int], object], count: int) -> float:
    seconds = []
    for number in range(count):
        began = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _in_database(engine: Any, kind: Kind, vector: np.ndarray) -> float:
    """Seconds of planning and searching that PostgreSQL itself counts for a look-up."""
    from sqlalchemy import text

    with engine.connect() as connection:
        for name, value in VectorIndex.PARAMETERS.items():
            connection.execute(text(f"SET LOCAL {name} = {value}"))
        asked = {**asdict(kind), "vector": as_text(vector)}
        (told,) = connection.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {NEAREST}"), asked).scalar_one()
    return float(told["Planning Time"] + told["Execution Time"]) / 1000


def _fill(engine: Any, kept: np.ndarray, kinds: np.ndarray) -> tuple[float, float]:
    """Load in bulk, then build the HNSW index; seconds of each."""
    with engine.connect() as connection:
        cursor = cast(Any, connection.connection).cursor()
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_cached_latent_embedding'")
        (definition,) = cursor.fetchone()
        cursor.execute("DROP INDEX ix_cached_latent_embedding")
        began = time.perf_counter()
        columns = "family,model,version,width,height,steps,scheduler,k,embedding,key,bytes,uses"
        cursor.copy_expert(f"COPY cached_latent ({columns}) FROM STDIN", _Lines(_lines(kept, kinds)))
        loaded = time.perf_counter()
        cursor.execute(f"SET maintenance_work_mem = '{BUILD_MEMORY}'")
        cursor.execute(definition)
        built = time.perf_counter()
        cursor.execute("ANALYZE cached_latent")
        connection.connection.commit()
    return loaded - began, built - loaded


def _lines(kept: np.ndarray, kinds: np.ndarray) -> Iterator[str]:
    fields = ["\t".join(str(value) for value in asdict(kind).values()) for kind in KINDS]
    for number, (vector, kind) in enumerate(zip(kept, kinds, strict=True)):
        yield f"{fields[kind]}\t3\t{as_text(vector)}\t{number}-3\t0\t0\n"


class _Lines:
    """A file to read from, out of lines."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines, self.rest = lines, ""

    def read(self, size: int) -> str:
        while len(self.rest) < size and (line := next(self.lines, None)) is not None:
            self.rest += line
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken


def _bytes(engine: Any) -> tuple[int, int]:
    """Of the table with its small indexes, and of the HNSW index."""
    from sqlalchemy import text

    with engine.connect() as connection:
        own = int(connection.execute(text("SELECT pg_relation_size('ix_cached_latent_embedding')")).scalar_one())
        everything = int(connection.execute(text("SELECT pg_total_relation_size('cached_latent')")).scalar_one())
    return everything - own, own


@contextmanager
def _postgres() -> Iterator[Any]:
    """A PostgreSQL of our own, migrated, gone afterwards."""
    from sqlalchemy import create_engine

    from core.database import migrate, sqlalchemy_url
    from core.postgres import postgres
    from core.supervisor import Supervisor

    with tempfile.TemporaryDirectory(prefix="argus-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        supervisor = Supervisor(home / "logs")
        try:
            service, url = postgres(home)
            supervisor.start(service)
            migrate(url)
            engine = create_engine(sqlalchemy_url(url))
            yield engine
            engine.dispose()
        finally:
            supervisor.stop()


# --- the report -------------------------------------------------------------------------------------------------


def report(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The section of the engine's page."""
    table = [
        f"| {row['index']} | {row['prompts']:,} | {row['p50_ms']:.2f} | {row['p95_ms']:.2f} | {row['p99_ms']:.2f} "
        f"| {_or_dash(row, 'search_p50_ms', '.2f')} | {row['right']:.1%} | {_or_dash(row, 'load_s', '.0f')} "
        f"| {_or_dash(row, 'build_s', '.0f')} | {_or_dash(row, 'insert_ms', '.1f')} "
        f"| {_or_dash(row, 'touch_ms', '.1f')} | {row['table_mb']:.0f} + {row['index_mb']:.0f} |"
        for row in rows
    ]
    return [
        "## Looking up the nearest prompt",
        "",
        "As a worker asks, one at a time, connection and answer included; goal: p95 under 5 ms at 100,000. Vectors are "
        "real prompts' embeddings recombined (`bench/lookups.py`); the nearest kept one is at a cosine of "
        f"{rows[-1]['nearest_p50']:.2f} on the median. Three kinds share the table: "
        f"{', '.join(f'{share:.2%}' for share in SHARES)}. Right: as near as the nearest, to {CLOSE:g}. Search: what "
        f"PostgreSQL counts of it, planning included. Built with maintenance_work_mem {BUILD_MEMORY}.",
        "",
        "| index | prompts | p50, ms | p95, ms | p99, ms | search p50, ms | right | load, s | build, s | insert, ms "
        "| count a use, ms | MB: table + index |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *table,
        "",
        *[
            _extrapolated([row for row in rows if row["index"] == name])
            for name in dict.fromkeys(r["index"] for r in rows)
        ],
    ]


def _or_dash(row: dict[str, Any], name: str, form: str) -> str:
    return f"{row[name]:{form}}" if name in row else "–"


def _extrapolated(rows: Sequence[dict[str, Any]]) -> str:
    """1.5 million on paper: exact search and memory grow with n, HNSW's look-up with log n, its build with n log n."""
    small, large = rows[0], rows[-1]
    times = PLANNED / large["prompts"]
    size = f"{times * (large['table_mb'] + large['index_mb']) / 1000:.1f} GB"
    head = f"Extrapolated to {PLANNED:,} prompts, on paper, {large['index']}:"
    if "build_s" not in large:
        return f"{head} p95 {times * large['p95_ms']:.0f} ms (grows with n), {size} in every worker.\n"
    decades = max(1e-9, np.log(large["prompts"] / small["prompts"]))
    slope = max(0.0, (large["p95_ms"] - small["p95_ms"]) / decades)
    build_min = times * large["build_s"] * np.log(PLANNED) / np.log(large["prompts"]) / 60
    return (
        f"{head} p95 {large['p95_ms'] + slope * np.log(times):.1f} ms with the index in memory (grows with log n), "
        f"{size}, of which {times * large['index_mb'] / 1000:.1f} GB HNSW, which must fit into memory for that and "
        f"into maintenance_work_mem while it is built, in {build_min:.0f} min (n log n).\n"
    )
