"""Binned counts: compared with numpy's own histograms, and with small data counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.widgets.counts import DECISIONS, TYPES, Axis, Binned, levels_up_to

NAN = float("nan")
USUAL_EDGES = np.arange(-100.5, 101, 3)
SCORE_EDGES = np.arange(-1.5, 101, 3)

# run-001 of the specification
USER = [85, 92, 78, 63, 88, 75, 57, 81]
DIFFERENCES = [7, 47, -4, 9, 22, 0, -31, 6]
RUN_TYPES = ["minor", "critical", "none", "minor", "major", "none", "critical", "minor"]
RUN_ACTIONS = ["allow", "override", "allow", "allow", "escalate", "allow", "escalate", None]


def binned(user, ai, types=None, actions=None):
    user, ai = np.array(user, float), np.array(ai, float)
    types = ["none"] * len(user) if types is None else types
    actions = [None] * len(user) if actions is None else actions
    with np.errstate(invalid="ignore", over="ignore"):
        deviation = np.abs(user - ai)
    return Binned(
        user,
        ai,
        deviation,
        np.array([TYPES.index(name or "missing") for name in types], int),
        np.array([DECISIONS.index(name or "undecided") for name in actions], int),
    )


def run_001():
    return binned(USER, np.array(USER) - DIFFERENCES, RUN_TYPES, RUN_ACTIONS)


def everything(counted):
    return np.ones(len(counted), dtype=bool)


def sums(histogram):
    return np.sum(list(histogram["types"].values()), axis=0)


def differences_of(values):
    """A histogram of these differences, as sums of all types."""
    counted = binned(values, np.zeros(len(values)))
    mask = everything(counted)
    return counted.histogram(mask, mask)


def test_a_bin_lies_around_a_multiple_of_three_points_and_the_middle_one_around_0():
    histogram = differences_of([0, 1, -1])
    assert (histogram["first"], histogram["step"], len(histogram["context"])) == (-100.5, 3, 67)
    assert histogram["context"][33] == 3  # from -1.5 to 1.5


def test_a_bin_holds_its_lower_edge_and_not_its_upper_one():
    context = differences_of([-1.5, 1.4, 1.5])["context"]
    assert context[33:35] == [2, 1]


def test_the_last_bin_holds_both_its_edges():
    assert differences_of([100.5, 97.5])["context"][-1] == 2


def test_the_largest_differences_that_scores_allow_are_counted():
    context = differences_of([-100, 100])["context"]
    assert (context[0], context[-1], sum(context)) == (1, 1, 2)


def test_the_noise_of_a_difference_of_floats_puts_nothing_into_a_neighbouring_bin():
    noisy = [(85.1, 83.6), (9.3, 7.8), (7.1, 5.6), (0.3, 1.8)]
    assert {user - ai for user, ai in noisy[:3]} != {1.5}
    counted = binned(*zip(*noisy, strict=True))
    mask = everything(counted)
    assert counted.histogram(mask, mask)["context"][33:35] == [1, 3]  # -1.5, and three times 1.5


def test_differences_beyond_100_points_get_bins_of_their_own():
    histogram = differences_of([0, 120])
    high = histogram["first"] + histogram["step"] * len(histogram["context"])
    assert (histogram["first"], histogram["step"]) == (-100.5, 3)
    assert high == 121.5
    assert histogram["context"][-1] == 1


@pytest.mark.parametrize("reach", [200, 1_000, 123_456.7, 1e30])
def test_far_away_values_make_the_bins_wider_not_many(reach):
    histogram = differences_of([0.0, reach, -reach / 2])
    assert len(histogram["context"]) <= 80
    assert sum(histogram["context"]) == 3
    assert histogram["first"] + histogram["step"] * len(histogram["context"]) >= reach


scores = st.one_of(
    st.integers(0, 100).map(float),
    st.integers(0, 1000).map(lambda tenths: tenths / 10),
    st.integers(0, 200).map(lambda halves: halves / 2),
    st.floats(0, 100),
)


@given(st.lists(st.tuples(scores, scores, st.sampled_from(TYPES[:-1]), st.booleans()), max_size=60))
def test_counts_are_those_of_numpy(rows):
    user, ai, types, shown = (
        (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    )
    counted, mask = binned(user, ai, types), np.array(shown, dtype=bool)
    histogram = counted.histogram(everything(counted), mask)
    difference = np.round(np.array(user) - np.array(ai), 10)
    assert histogram["context"] == np.histogram(difference, USUAL_EDGES)[0].tolist()
    for name in TYPES[:-1]:
        ours = mask & (np.array(types, dtype=object) == name)
        assert histogram["types"][name] == np.histogram(difference[ours], USUAL_EDGES)[0].tolist()
    density = counted.density(everything(counted), mask)
    table = np.histogram2d(np.array(user)[mask], np.array(ai)[mask], (SCORE_EDGES, SCORE_EDGES))[0]
    assert (np.array(density["shown"]) == table).all()


@given(
    st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)), max_size=20),
)
def test_every_row_is_counted_or_told_to_be_undrawn(rows):
    counted = binned(*zip(*rows, strict=True)) if rows else binned([], [])
    mask = everything(counted)
    undrawn = counted.tiles(mask)["undrawn"]
    histogram, density = counted.histogram(mask, mask), counted.density(mask, mask)
    assert sum(histogram["context"]) + undrawn == len(rows)
    assert sums(histogram).sum() + undrawn == len(rows)
    assert np.sum(density["shown"]) + undrawn == len(rows)
    json.dumps([counted.tiles(mask), histogram, density], allow_nan=False)


def test_the_density_has_user_scores_in_rows_and_ai_scores_in_columns():
    counted = binned([90, 90], [0, 30])
    mask = everything(counted)
    shown = counted.density(mask, mask)["shown"]
    assert (len(shown), len(shown[0])) == (34, 34)
    assert (shown[30][0], shown[30][10]) == (1, 1)


def test_scores_beyond_0_to_100_are_drawn_and_both_axes_stay_the_same():
    counted = binned([-20, 50], [130, 50])
    mask = everything(counted)
    density = counted.density(mask, mask)
    side = len(density["shown"])
    assert density["first"] <= -20
    assert density["first"] + side * density["step"] >= 130
    assert {len(row) for row in density["shown"]} == {side}
    assert np.sum(density["shown"]) == 2


def test_the_context_of_the_density_tells_how_many_levels_a_cell_reaches():
    counted = binned([50] * 16 + [80], [50] * 16 + [80])
    all_rows, none = everything(counted), np.zeros(17, dtype=bool)
    density = counted.density(all_rows, none)
    # 16 ** (k / 5): 1, 1.7, 3.0, 5.3, 9.2
    assert density["levels"] == [1, 2, 3, 5, 9]
    assert density["context"][17][17] == "5"
    assert density["context"][27][27] == "1"
    assert set("".join(density["context"])) == {"0", "1", "5"}
    assert np.sum(density["shown"]) == 0


@pytest.mark.parametrize(("most", "levels"), [(0, [1]), (1, [1]), (2, [1, 2]), (32, [1, 2, 4, 8, 16])])
def test_levels_grow_by_a_factor(most, levels):
    assert levels_up_to(most) == levels


def test_the_tiles_of_the_run_of_the_specification():
    counted = run_001()
    assert counted.tiles(everything(counted)) == {
        "total": 8,
        "shown": 8,
        "bias": 7.0,  # (7 + 47 - 4 + 9 + 22 + 0 - 31 + 6) / 8
        "mean_absolute_deviation": 15.75,
        "types": {"none": 2, "minor": 3, "major": 1, "critical": 2},
        "actions": {"allow": 4, "flag_for_review": 0, "escalate": 2, "override": 1},
        "undecided": 1,
        "undrawn": 0,
    }


def test_the_tiles_tell_of_the_rows_shown():
    counted = run_001()
    tiles = counted.tiles(np.array(DIFFERENCES) > 8)
    assert (tiles["shown"], tiles["total"]) == (3, 8)
    assert (tiles["bias"], tiles["mean_absolute_deviation"]) == (26.0, 26.0)
    assert tiles["types"] == {"none": 0, "minor": 1, "major": 1, "critical": 1}


def test_the_mean_of_nothing_is_none():
    counted = run_001()
    tiles = counted.tiles(np.zeros(8, dtype=bool))
    assert (tiles["shown"], tiles["bias"], tiles["mean_absolute_deviation"]) == (0, None, None)


def test_the_mean_absolute_deviation_is_of_what_was_recorded():
    counted = Binned(np.array([5.0]), np.array([3.0]), np.array([7.5]), np.array([0]), np.array([4]))
    assert counted.tiles(np.array([True]))["mean_absolute_deviation"] == 7.5


def test_a_missing_score_leaves_the_means_and_the_drawings_but_not_the_count():
    counted = binned([10, NAN, 30], [4, 5, NAN])
    mask = everything(counted)
    tiles = counted.tiles(mask)
    assert (tiles["shown"], tiles["bias"], tiles["undrawn"]) == (3, 6.0, 2)
    assert sum(counted.histogram(mask, mask)["context"]) == 1


def test_a_missing_type_is_counted_as_missing_and_only_then():
    counted = binned([10, 20], [10, 20], ["none", None])
    mask = np.array([True, True])
    assert counted.tiles(mask)["types"]["missing"] == 1
    assert sum(counted.histogram(mask, mask)["types"]["missing"]) == 1
    assert "missing" not in counted.tiles(np.array([True, False]))["types"]


def test_an_axis_without_values_covers_what_is_usual():
    assert Axis.over(np.array([]), (0.0, 100.0), 36) == Axis(3.0, 0, 34)


def test_counts_do_not_grow_with_the_rows():
    rng = np.random.default_rng(1)
    user, ai = rng.uniform(0, 100, (2, 1_000_000))
    counted = binned(user, ai, np.array(TYPES)[rng.integers(0, 4, 1_000_000)], ["allow"] * 1_000_000)
    mask = everything(counted)
    text = json.dumps([counted.tiles(mask), counted.histogram(mask, mask), counted.density(mask, mask)])
    assert len(text) < 15_000
