"""Which faults a run gets, and what load: both by the seed."""

from itertools import islice

from bench.chaos.faults import FAULTS, choose
from bench.chaos.load import wishes

FAMILIES = {each.family for each in FAULTS}
SMALL = {"width": 32, "height": 32, "steps": 2}


def test_kinds_have_names_of_their_own_and_times_that_can_be_held():
    assert len({each.kind for each in FAULTS}) == len(FAULTS)
    assert all(0 <= low <= high <= 30 and each.weight > 0 for each in FAULTS for low, high in [each.hold_s])


def test_the_same_seed_chooses_the_same_faults_and_another_seed_others():
    first, again, other = (choose(FAULTS, 100, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_few_faults_cover_each_family_and_more_each_kind():
    for seed in range(20):
        assert {each.family for each in choose(FAULTS, len(FAMILIES), seed)} == FAMILIES
        assert set(choose(FAULTS, len(FAULTS), seed)) == set(FAULTS)
        assert len(choose(FAULTS, 500, seed)) == 500


def test_the_load_is_seeded_and_as_dense_as_asked():
    first, again = (list(islice(wishes(["a", "b"], SMALL, 60.0, 3), 600)) for _ in range(2))
    assert first == again
    assert [wish.number for wish in first] == list(range(1, 601))
    assert len({wish.body["title"] for wish in first}) == 600
    assert 500 < sum(wish.after_s for wish in first) < 700
    assert 60 < sum(not wish.urgent for wish in first) < 180
