"""The judge of the chaos bench finds what is made up for it, and nothing where all holds."""

from dataclasses import replace

import pytest

from bench.chaos.verdict import CHECKS, MEANING, Evidence, ImageRow, RequestRow, WorkerView, judge

QUEUES = frozenset({"t2i.toy.exact"})
CLEAN = Evidence(
    promised=frozenset({"a", "b"}),
    requests=[
        RequestRow("a", "chaos 1", "job 1", "done", outcomes=("lost", "done")),
        RequestRow("b", "chaos 2", "job 2", "failed", "not_a_number", "NaN in a latent", ("failed",)),
        RequestRow("c", "chaos 3", "job 3", "done", outcomes=("done",)),  # its answer was lost: it is to be kept too
    ],
    images=[ImageRow("i", "a", "2026/i.png", "d1"), ImageRow("j", "c", "2026/j.png", "d2")],
    files={"2026/i.png": "d1", "2026/j.png": "d2"},
    needed=frozenset({"router"}) | QUEUES,
    consumed=frozenset({"router"}) | QUEUES,
    workers={"cpu0@host": WorkerView(QUEUES, QUEUES, QUEUES)},
)
DONE, FAILED, OTHER = CLEAN.requests
IMAGE, SECOND = CLEAN.images


def requests(*rows: RequestRow) -> Evidence:
    return replace(CLEAN, requests=[*rows])


MADE_UP = [
    ("lost", replace(CLEAN, promised=CLEAN.promised | {"nowhere"}), "nowhere"),
    ("unfinished", requests(replace(DONE, state="queued"), FAILED, OTHER), "a is queued"),
    ("unfinished", requests(DONE, replace(FAILED, state="running"), OTHER), "b is running"),
    ("innocent", requests(DONE, replace(FAILED, error_code="worker_lost"), OTHER), "b failed: worker_lost"),
    ("innocent", requests(DONE, replace(FAILED, error_code=None), OTHER), "b failed: None"),
    ("innocent", requests(DONE, replace(FAILED, state="cancelled", error_code=None), OTHER), "b cancelled"),
    ("doubled", replace(CLEAN, images=[IMAGE, SECOND, replace(IMAGE, id="again")]), "a was recorded 2 times"),
    ("doubled", requests(replace(DONE, outcomes=("done", "done")), FAILED, OTHER), "a was recorded 2 times"),
    ("twice", requests(DONE, FAILED, replace(OTHER, title="chaos 1")), "chaos 1: 2 jobs"),
    ("refused", replace(CLEAN, refused={9: "503 database away"}), "submission 9: 503"),
    ("bare", replace(CLEAN, images=[SECOND], files={SECOND.key: "d2"}), "a"),
    ("orphans", replace(CLEAN, files={**CLEAN.files, "2026/k.png": "d3"}), "2026/k.png"),
    ("partials", replace(CLEAN, partials=["2026/k.png.partial"]), "2026/k.png.partial"),
    ("missing", replace(CLEAN, files={IMAGE.key: "d1"}), "2026/j.png of request c: no file"),
    ("missing", replace(CLEAN, files={**CLEAN.files, IMAGE.key: "cut"}), "2026/i.png of request a: other content"),
    ("open", requests(replace(DONE, outcomes=(None, "done")), FAILED, OTHER), "a"),
    ("unserved", replace(CLEAN, consumed=QUEUES), "router"),
    ("plan", replace(CLEAN, workers={"w": WorkerView(QUEUES, QUEUES, frozenset())}), "w: assigned ['t2i.toy.exact']"),
    ("plan", replace(CLEAN, workers={"w": WorkerView(QUEUES, frozenset(), QUEUES)}), "w: assigned"),
    ("processes", replace(CLEAN, down=["beat does not run"]), "beat does not run"),
]


def test_nothing_is_found_where_all_holds():
    assert judge(CLEAN) == []


@pytest.mark.parametrize(("check", "evidence", "example"), MADE_UP)
def test_what_does_not_hold_is_found_with_an_example_and_nothing_else_is(check, evidence, example):
    (finding,) = judge(evidence)
    assert (finding.check, finding.count) == (check, 1)
    assert finding.examples[0].startswith(example)


def test_every_check_was_made_to_fail_and_says_what_it_means():
    assert {check for check, _, _ in MADE_UP} == set(CHECKS) == set(MEANING)


def test_all_are_counted_and_some_are_shown():
    files = CLEAN.files | {f"{n}.png": "d" for n in range(20)}
    (finding,) = judge(replace(CLEAN, files=files))
    assert (finding.count, len(finding.examples)) == (20, 5)
