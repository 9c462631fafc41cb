"""DeviationExplorer without a browser: what it counts, how it filters, what it refuses, what it sends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import auditkit as ak
from auditkit.errors import InvalidOptionError
from auditkit.widgets.explorer import DeviationExplorer, points, share
from auditkit.widgets.inspection import Inspection

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"


@pytest.fixture(scope="module")
def results():
    return ak.load_results(source=SAMPLES)


@pytest.fixture(scope="module")
def run_006():
    return ak.load_results("run-006", source=SAMPLES)


def asked(explorer, **question):
    """What the widget answers to its script."""
    answers = []
    explorer.send = lambda content, buffers=None: answers.append(content)
    explorer._answer(explorer, {"id": 1, **question}, None)
    (answer,) = answers
    return answer


def brushed(explorer, **conditions):
    return asked(explorer, do="brush", conditions=conditions)


def view_of(code):
    names = {}
    exec(code, names)
    return names["view"]


def ids(view):
    return list(zip(view.run_id, view.position, strict=True))


def shown(histogram):
    return np.sum(list(histogram["types"].values()), axis=0)


def test_the_tiles_of_run_006_are_those_of_its_readme(run_006):
    counts = DeviationExplorer(run_006).counts
    assert (counts["shown"], counts["total"], counts["undrawn"]) == (1500, 1500, 0)
    assert points(counts["bias"], signed=True) == "+0.74 points"
    assert points(counts["mean_absolute_deviation"]) == "7.85 points"
    assert counts["types"] == {"none": 649, "minor": 681, "major": 143, "critical": 27}
    assert counts["undecided"] == 124
    assert sum(counts["actions"].values()) == 1500 - 124


def test_a_biased_reviewer_shows_in_the_mean_difference(run_006):
    explorer = DeviationExplorer(run_006)
    explorer.filter = ak.Filter(reviewer=("reviewer-4",))
    assert explorer.counts["shown"] == 225
    assert points(explorer.counts["bias"], signed=True) == "+5.89 points"
    explorer.filter = ak.Filter(reviewer=("reviewer-5",))
    assert points(explorer.counts["bias"], signed=True) == "-0.66 points"


def test_a_range_filters_and_its_drawing_keeps_the_others_as_context(run_006):
    explorer = DeviationExplorer(run_006)
    assert brushed(explorer, difference=[5, 20.5]) == {"answers": 1}
    assert explorer.filter == ak.Filter(difference=(5, 20.5))
    difference = run_006.user_score - run_006.ai_score
    inside = difference.between(5, 20.5)
    counts = explorer.counts
    assert counts["shown"] == shown(counts["histogram"]).sum() == inside.sum()
    assert sum(counts["histogram"]["context"]) == 1500
    assert np.sum(counts["density"]["shown"]) == inside.sum()
    assert counts["bias"] == pytest.approx(difference[inside].mean())
    assert counts["asked"] == {"difference": [5, 20.5]}


def test_a_box_filters_both_scores_and_leaves_the_range_alone(run_006):
    explorer = DeviationExplorer(run_006)
    brushed(explorer, difference=[None, 0])
    brushed(explorer, user_score=[40, 60], ai_score=[50, None])
    assert explorer.filter == ak.Filter(difference=(None, 0), user_score=(40, 60), ai_score=(50, None))
    box = run_006.user_score.between(40, 60) & (run_006.ai_score >= 50)
    below = run_006.user_score - run_006.ai_score <= 0
    counts = explorer.counts
    assert counts["shown"] == (box & below).sum()
    assert sum(counts["histogram"]["context"]) == box.sum()
    cells = "".join(counts["density"]["context"])
    edges = np.arange(-1.5, 101, 3)
    table = np.histogram2d(run_006.user_score[below], run_006.ai_score[below], (edges, edges))[0]
    assert (np.array(list(cells)) != "0").sum() == (table > 0).sum()


def test_conditions_on_other_columns_narrow_the_context_as_well(run_006):
    explorer = DeviationExplorer(run_006)
    explorer.filter = ak.Filter(deviation_type="critical", difference=(0, None))
    assert sum(explorer.counts["histogram"]["context"]) == 27


def test_clearing_a_range_leaves_the_other_conditions(run_006):
    explorer = DeviationExplorer(run_006)
    explorer.filter = ak.Filter(difference=(5, 9), user_score=(50, None), skill_area=("python",))
    brushed(explorer, difference=None)
    assert explorer.filter == ak.Filter(user_score=(50, None), skill_area=("python",))
    asked(explorer, do="clear")
    assert explorer.filter == ak.Filter()
    assert explorer.counts["shown"] == 1500


def test_a_brush_on_a_column_that_is_not_drawn_is_refused_in_words(run_006):
    explorer = DeviationExplorer(run_006)
    assert brushed(explorer, deviation=[1, 2])["failed"]
    assert explorer.message["kind"] == "error"
    assert "'deviation' is not drawn here." in explorer.message["text"]
    assert explorer.filter == ak.Filter()


@pytest.mark.parametrize("ends", [["a", 2], [1], "12", 3, [None, None]])
def test_a_brush_that_is_no_range_is_refused_in_words(run_006, ends):
    explorer = DeviationExplorer(run_006)
    assert brushed(explorer, difference=ends)["failed"]
    assert explorer.message["kind"] == "error"


def test_a_range_on_its_way_costs_no_marks(run_006):
    explorer = DeviationExplorer(run_006)
    explorer.inspection.mark(np.array([3, 4]))
    question = {"do": "brush", "conditions": {"difference": [90, 91]}}
    asked(explorer, **question, passing=True)
    assert explorer.filter == ak.Filter()
    assert explorer.inspection.marks.sum() == 2
    asked(explorer, **question)
    assert explorer.filter == ak.Filter(difference=(90, 91))


def test_a_range_on_its_way_filters_when_nothing_is_marked(run_006):
    explorer = DeviationExplorer(run_006)
    asked(explorer, do="brush", conditions={"difference": [0, 1]}, passing=True)
    assert explorer.filter == ak.Filter(difference=(0, 1))


def test_explorers_of_one_inspection_stay_together(results):
    inspection = Inspection(results)
    one, other = DeviationExplorer(inspection), DeviationExplorer(inspection)
    one.filter = ak.Filter(difference=(10, None))
    assert other.filter == one.filter
    assert other.counts == one.counts


def test_who_observes_the_filter_or_the_results_is_told(results, run_006):
    explorer, told = DeviationExplorer(results), []
    explorer.observe(lambda change: told.append((change.name, change.new)), ["filter", "results"])
    brushed(explorer, difference=[0, 5])
    explorer.results = run_006
    assert told[0] == ("filter", ak.Filter(difference=(0, 5)))
    assert told[-1][0] == "results"
    assert told[-1][1].equals(run_006)
    assert explorer.counts["total"] == 1500
    assert explorer.counts["asked"] == {"difference": [0, 5]}


@pytest.mark.parametrize(
    "filter",
    [
        ak.Filter(),
        ak.Filter(difference=(5.1, 20)),
        ak.Filter(user_score=(None, 60), ai_score=(40.5, 80), deviation_type=("major", "critical")),
        ak.Filter(difference=(99, None)),
    ],
)
def test_the_code_gives_the_same_rows(results, filter):
    explorer = DeviationExplorer(results, source=SAMPLES)
    explorer.filter = filter
    assert ids(view_of(explorer.code)) == ids(explorer.inspection.view)


def test_when_no_result_passes_nothing_is_undefined(results):
    explorer = DeviationExplorer(results)
    explorer.filter = ak.Filter(difference=(99, None))
    counts = explorer.counts
    assert (counts["shown"], counts["bias"], counts["mean_absolute_deviation"]) == (0, None, None)
    assert sum(counts["histogram"]["context"]) == len(results)
    assert "0 of 1,580 results" in explorer.static_html()
    json.dumps(counts, allow_nan=False)


def test_no_results_at_all_are_no_error():
    explorer = DeviationExplorer(ak.load_results("run-005", source=SAMPLES))
    assert repr(explorer) == "DeviationExplorer(0 of 0 results)"
    assert explorer.counts["shown"] == 0
    assert "nan" not in explorer.static_html().lower()


def test_one_result_and_equal_results_are_counted(results):
    first = results.iloc[:1]
    for frame in (first, pd.concat([first] * 5, ignore_index=True)):
        counts = DeviationExplorer(frame).counts
        assert sorted(set(shown(counts["histogram"]))) == [0, len(frame)]
        assert counts["density"]["levels"][0] == 1


@pytest.mark.parametrize("column", ["user_score", "ai_score", "deviation", "deviation_type", "action_taken"])
def test_a_frame_without_a_column_that_is_drawn_is_refused(results, column):
    with pytest.raises(InvalidOptionError, match=rf"needs one column {column}\. Take it from load_results"):
        DeviationExplorer(results.drop(columns=column))


@pytest.mark.parametrize("column", ["deviation", "action_taken"])
def test_results_that_cannot_be_drawn_leave_the_old_ones(results, column):
    explorer = DeviationExplorer(results)
    with pytest.raises(InvalidOptionError):
        explorer.results = results.drop(columns=column)
    assert explorer.results.equals(results)
    assert explorer.counts["total"] == len(results)


def test_what_is_no_frame_is_refused():
    with pytest.raises(InvalidOptionError, match="list is no frame of results"):
        DeviationExplorer([1, 2])


def test_a_filter_that_is_none_is_refused(results):
    with pytest.raises(InvalidOptionError, match="is no filter"):
        DeviationExplorer(results).filter = {"difference": (1, 2)}


@pytest.mark.parametrize(
    ("column", "value"), [("deviation_type", "huge"), ("action_taken", "allowed"), ("action_taken", "")]
)
def test_a_value_that_the_table_of_fields_does_not_know_is_refused(results, column, value):
    frame = results.astype({column: object})
    frame.loc[2, column] = value
    with pytest.raises(InvalidOptionError, match=f"'{value}' is no value of {column}"):
        DeviationExplorer(frame)


def test_columns_of_other_types_with_the_same_values_are_counted_alike(run_006):
    plain = run_006.assign(
        deviation_type=run_006.deviation_type.astype(str),
        action_taken=run_006.action_taken.astype(object).where(run_006.action_taken.notna(), None),
    )
    assert DeviationExplorer(plain).counts == DeviationExplorer(run_006).counts


def test_whole_scores_may_be_integers(results):
    frame = results[results.run_id == "run-001"]
    whole = frame.astype({"user_score": int, "ai_score": int})
    assert DeviationExplorer(whole).counts == DeviationExplorer(frame).counts


def test_actions_that_are_all_missing_are_all_undecided(results):
    frame = results.assign(action_taken=pd.Series([None] * len(results), dtype=object))
    assert DeviationExplorer(frame).counts["undecided"] == len(results)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((5, 15), (5, 15)),
        ([10], (10,)),
        ((15.0, 2.5, 2.5), (2.5, 15)),
        ((), ()),
        (np.array([5, 10]), (5, 10)),
    ],
)
def test_a_tolerance_is_kept_in_order(results, given, kept):
    explorer = DeviationExplorer(results, tolerance=given)
    assert explorer.tolerance == kept
    assert "tolerance" in explorer.get_state()
    json.dumps(explorer.get_state("tolerance"))


@pytest.mark.parametrize(
    "given", [5, "5", (0,), (-5,), (True,), (float("nan"),), ("5",), None, (1, 2, 3, 4, 5)]
)
def test_a_tolerance_that_draws_no_lines_is_refused(results, given):
    with pytest.raises(
        InvalidOptionError, match=r"Give up to 4 numbers of points above 0, such as \(5, 15\)"
    ):
        DeviationExplorer(results, tolerance=given)
    explorer = DeviationExplorer(results)
    with pytest.raises(InvalidOptionError):
        explorer.tolerance = given
    assert explorer.tolerance == (5, 15)


def test_a_tolerance_changes_no_count(results):
    assert DeviationExplorer(results, tolerance=(1,)).counts == DeviationExplorer(results).counts


def test_its_repr_is_short_and_always_the_same(results):
    explorer = DeviationExplorer(results)
    explorer.filter = ak.Filter(deviation_type="critical")
    assert (
        repr(explorer) == f"DeviationExplorer({(results.deviation_type == 'critical').sum()} of 1580 results)"
    )


def test_its_static_copy_has_the_tiles_and_both_tables(run_006):
    page = DeviationExplorer(run_006).static_html()
    for words in (
        "Deviations: 1,500 of 1,500 results",
        "+0.74 points",
        "7.85 points",
        "681 (45.4 %)",
        "27 (1.8 %)",
        "undecided",
        "124 (8.3 %)",
    ):
        assert words in page
    assert "<script" not in page


def test_a_filter_is_said_in_words_that_stay_short(results):
    explorer = DeviationExplorer(results)
    explorer.filter = ak.Filter(notes="<img src=x onerror=alert(1)>")
    assert explorer.counts["filter"] == "Notes contains “<img src=x onerror=alert(1)>”"
    explorer.filter = ak.Filter(submission_id=tuple(f"sub-{number:05}" for number in range(10_000)))
    assert len(explorer.counts["filter"]) <= 201


def test_what_is_sent_does_not_grow_with_the_rows(run_006):
    many = pd.concat([run_006] * 100, ignore_index=True)
    sizes = [len(json.dumps(DeviationExplorer(frame).counts)) for frame in (run_006, many)]
    assert max(sizes) < 15_000
    assert sizes[1] < 1.5 * sizes[0]


def test_its_script_is_one_module_and_takes_nothing_from_outside():
    script, style = DeviationExplorer._esm, DeviationExplorer._css
    assert "import " not in script.replace("important", "")
    assert script.count("export default") == 1
    for text in (script, style):
        assert "innerHTML" not in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.7434, "+0.74 points"),
        (-0.155, "-0.15 points"),
        (-0.004, "0.00 points"),
        (None, "–"),
        (1234, "+1,234.00 points"),
    ],
)
def test_a_mean_keeps_its_sign(value, words):
    assert points(value, signed=True) == words


@pytest.mark.parametrize(
    ("count", "total", "words"),
    [
        (0, 0, "–"),
        (0, 7, "0.0 %"),
        (1, 8, "12.5 %"),
        (1, 10**6, "< 0.1 %"),
        (10**6 - 1, 10**6, "> 99.9 %"),
        (3, 3, "100.0 %"),
    ],
)
def test_a_share_does_not_round_to_nothing_or_to_all(count, total, words):
    assert share(count, total) == words
