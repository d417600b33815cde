"""What is tried in which order, and what is kept of it."""

from __future__ import annotations

import math

import pytest

from guardedit.core.errors import EditError
from guardedit.editing.edit_card import KINDS
from guardedit.lab.locating.last_token import LayerEffects
from guardedit.lab.sweep.candidates import ChangedSettings, EditPlace, grid, places
from guardedit.lab.sweep.merit import Score, Shares
from guardedit.lab.sweep.report import card_of, place_table, problems
from guardedit.lab.sweep.search import GAIN, CandidateResult, search
from guardedit.lab.sweep.tracing import rank_correlation

DEFAULTS = {
    kind: {name: getattr(of(), name) for name in of.__dataclass_fields__} for kind, of in KINDS.items()
}
GRID = [("joint", "steps", (30, 120)), ("edit", "ridge", (0.1,))]


class FakeMeasure:
    """Measures the given efficacy for each place and setting. All other numbers are perfect."""

    def __init__(self, by_place, by_settings=None, *, problem="") -> None:
        self.asked: list[tuple[str, str]] = []
        self._places, self._settings, self._problem = by_place, by_settings or {}, problem

    def __call__(self, place: EditPlace, settings: ChangedSettings) -> CandidateResult:
        self.asked.append((str(place), str(settings)))
        efficacy = self._settings.get(str(settings), self._places[str(place)])
        shares = Shares(
            efficacy=efficacy, unseen=1.0, other_subject=1.0, same_subject=1.0, perplexity_ratio=1.0
        )
        return CandidateResult(
            place=place, settings=settings, score=Score(alone=shares, together=shares), seconds=1.0,
            problem=self._problem,
        )  # fmt: skip


def tried_on(measure: FakeMeasure, *, grid=()):
    where = [EditPlace((layer,)) for layer in (2, 3, 4)] + [EditPlace((2, 3, 4))]
    return search(where, grid, measure)


def test_the_best_place_may_be_a_window_and_the_best_layer_is_named_beside_it():
    found = tried_on(FakeMeasure({"2": 0.92, "3": 0.91, "4": 0.9, "2-4": 0.99}))
    assert (found.best.place, found.single.place) == (EditPlace((2, 3, 4)), EditPlace((2,)))

    card = card_of(found, None, base_sha256="ab", about={"method": "joint"})
    assert (card.layer, card.layers, card.edit, card.joint) == (2, (2, 3, 4), {}, {})
    assert [row["layers"] for row in card.sweep] == [[2], [3], [4], [2, 3, 4]]
    assert card_of(found, None, base_sha256="ab", about={}, layers=(5,)).layers == (5,)


def test_a_usable_place_goes_before_a_better_one_and_the_first_of_equals_stays():
    found = tried_on(FakeMeasure({"2": 0.95, "3": 0.95, "4": 0.5, "2-4": 0.5}))
    assert found.best.place == EditPlace((2,))


def test_a_changed_setting_is_kept_before_the_next_is_tried():
    measure = FakeMeasure(
        {"2": 0.5, "3": 0.9, "4": 0.5, "2-4": 0.5}, {"steps 120": 0.95, "ridge 0.1, steps 120": 0.99}
    )
    found = tried_on(measure, grid=GRID)

    assert measure.asked[4:] == [("3", "steps 30"), ("3", "steps 120"), ("3", "ridge 0.1, steps 120")]
    assert found.best.settings == ChangedSettings(edit={"ridge": 0.1}, joint={"steps": 120})
    assert found.single.place == found.best.place == EditPlace((3,))
    assert card_of(found, None, base_sha256="ab", about={}).joint == {"steps": 120}


def test_a_setting_that_is_better_by_chance_is_not_kept():
    measure = FakeMeasure({"2": 0.5, "3": 0.9, "4": 0.5, "2-4": 0.5}, {"steps 120": 0.9 + GAIN / 2})
    assert tried_on(measure, grid=GRID).best.settings == ChangedSettings()


def test_where_nothing_can_be_measured_the_reason_is_given():
    with pytest.raises(EditError, match="no layer of 2, 3, 4, 2-4 takes these edits: it broke"):
        tried_on(FakeMeasure(dict.fromkeys(("2", "3", "4", "2-4"), math.nan), problem="it broke"))


def test_a_sweep_without_a_usable_candidate_says_so():
    found = tried_on(FakeMeasure({"2": 0.5, "3": 0.6, "4": 0.5, "2-4": 0.5}))
    assert problems(found) == [
        "no candidate's single edits reach the limits, so the best of the unusable ones is chosen"
    ]


def test_tracing_stands_beside_single_layers_only():
    trace = LayerEffects(mean=(9.0, 9.0, 0.1, 0.3, 0.2), error=(0.0,) * 5, facts=3, window=2)
    found = tried_on(FakeMeasure({"2": 0.91, "3": 0.93, "4": 0.92, "2-4": 0.99}))
    assert [row["trace"] for row in place_table(found, trace)] == [0.1, 0.3, 0.2, None]
    assert card_of(found, trace, base_sha256="ab", about={}).about["rank_correlation"] == 1.0


def test_windows_are_of_neighbours_and_only_for_methods_that_spread():
    assert [str(p) for p in places(range(6), spreads=True)][6:] == ["0-2", "1-3", "2-4", "3-5"]
    assert all(place.alone for place in places(range(6), spreads=False))
    assert places([3, 2, 3], spreads=True) == [EditPlace((2,)), EditPlace((3,))]


def test_the_grid_has_the_methods_own_settings_without_those_of_the_policy():
    joint = grid(DEFAULTS, joint=True, fixed={"joint": ["steps"], "edit": ["ridge"]})
    assert [(kind, name) for kind, name, _ in joint] == [
        *(("joint", name) for name in ("learning_rate_ratio", "norm_penalty", "background_price")),
        ("edit", "background_weight"),
    ]
    other = grid(DEFAULTS, joint=False, fixed={})
    assert {kind for kind, _, _ in other} == {"edit"}
    assert {"clamp_ratio", "ridge", "background_weight"} <= {name for _, name, _ in other}
    assert all(type(v) is type(DEFAULTS[kind][name]) for kind, name, values in other for v in values)


def test_a_setting_of_zero_is_not_varied():
    off = {**DEFAULTS, "joint": {**DEFAULTS["joint"], "norm_penalty": 0.0, "steps": 1}}
    found = {name: values for _, name, values in grid(off, joint=True, fixed={})}
    assert "norm_penalty" not in found
    assert found["steps"] == (2,)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], -1.0),
        ([1.0, 2.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], 0.9486832980505138),  # as scipy.stats.spearmanr has it
        ([1.0, math.nan, 2.0, 3.0], [5.0, 0.0, 6.0, 7.0], 1.0),
    ],
)
def test_rank_correlation_is_spearmans(one, other, expected):
    assert rank_correlation(one, other) == pytest.approx(expected)


@pytest.mark.parametrize(("one", "other"), [([1.0, 2.0], [1.0, 2.0]), ([1.0, 2.0, 3.0], [1.0] * 3), ([], [])])
def test_rank_correlation_is_undefined_for_few_or_equal_values(one, other):
    assert math.isnan(rank_correlation(one, other))
