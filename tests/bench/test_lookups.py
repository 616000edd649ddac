"""The vectors that look-ups are measured on."""

import numpy as np

from bench import lookups


def real(count: int) -> np.ndarray:
    return lookups.unit(np.random.default_rng(5).normal(size=(count, lookups.WIDTH)))


def test_recombined_vectors_are_distinct_unit_vectors_near_a_real_one():
    known = real(50)
    made = lookups.alike(known, 400, seed=1)
    assert np.allclose(np.linalg.norm(made, axis=1), 1.0, atol=1e-5)
    assert len(np.unique(made, axis=0)) == 400
    assert (made @ known.T).max(1).min() > 0.6


def test_lines_read_as_a_file_are_all_there():
    lines = [f"{n}\n" for n in range(100)]
    file = lookups._Lines(iter(lines))
    parts = []
    while part := file.read(7):
        parts.append(part)
    assert "".join(parts) == "".join(lines)


def test_both_indexes_find_what_is_nearest_of_its_kind():
    rows = lookups.bench(real(300), [300], lookups=20)
    assert [row["index"] for row in rows] == ["numpy, exact", "pgvector, HNSW"]
    assert rows[0]["right"] == 1.0
    assert rows[1]["right"] > 0.9
    assert "1,500,000" in "\n".join(lookups.report(rows))
