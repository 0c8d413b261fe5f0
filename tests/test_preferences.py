"""Win rates, Bradley-Terry strengths, raters who don't look: against closed forms and simulated raters."""

import numpy as np
import pytest

from vtonlib.human_study import plan
from vtonlib.preferences import (
    Judgement,
    bradley_terry,
    consistency,
    left_share,
    simulate,
    strengths,
    table,
    wilson,
    win_rates,
    win_table,
)

TRUTH = {"a": 0.8, "b": 0.0, "c": -0.8}
ITEMS = [f"item {number}" for number in range(12)]


def class_of(raters: int, *, seed: int = 0, trials: int = 18, repeats: int = 0, truth=TRUTH, **how) -> list[Judgement]:
    rng, answers = np.random.default_rng(seed), []
    for rater in range(raters):
        questions = plan(sorted(truth), ITEMS, rater, trials=trials, repeats=repeats, seed=seed)
        asked = [(one.item, one.left, one.right, one.repeated) for one in questions]
        answers += simulate(asked, f"r{rater}", truth, rng, **how)
    return answers


def judged(left: str, right: str, choice: str, rater="r", item="i", repeated=False) -> Judgement:
    return Judgement(rater=rater, item=item, left=left, right=right, choice=choice, repeated=repeated)


def test_wilson_intervals():
    """0 of 10: the upper end is z^2 / (10 + z^2). And 5 of 10 lies around one half."""
    none, half = wilson(0, 10), wilson(5, 10)
    assert none.low == 0 and none.high == pytest.approx(1.959964**2 / (10 + 1.959964**2))
    assert (half.low + half.high) / 2 == pytest.approx(0.5) and half.low == pytest.approx(0.2366, abs=1e-4)
    empty = wilson(0, 0)
    assert np.isnan(empty.rate) and (empty.low, empty.high) == (0, 1)
    with pytest.raises(ValueError, match="successes from 0 to 3, got 4"):
        wilson(4, 3)


def test_ties_are_half_a_win_and_repeats_none():
    judgements = [judged("a", "b", "left"), judged("b", "a", "right"), judged("a", "b", "same"),
                  judged("b", "a", "left", repeated=True)]  # fmt: skip
    rates = win_rates(judgements)
    assert list(rates) == [("a", "b")]
    assert rates["a", "b"].rate == pytest.approx(2.5 / 3) and rates["a", "b"].count == 3
    assert np.array_equal(win_table(judgements, ["a", "b"]), [[0, 2.5], [0.5, 0]])


def test_two_methods_have_a_closed_form():
    """With w wins against l: a difference of log(w / l)."""
    fit = bradley_terry(np.array([[0, 30], [10, 0]]), prior=0)
    assert fit[0] - fit[1] == pytest.approx(np.log(3), abs=1e-8) and fit.sum() == pytest.approx(0, abs=1e-12)
    with_prior = bradley_terry(np.array([[0, 30], [10, 0]]))
    assert with_prior[0] - with_prior[1] == pytest.approx(np.log(30.5 / 10.5), abs=1e-8)


def test_the_fit_is_a_maximum_of_the_likelihood():
    """Against the gradient by hand: what each method won is what its strength expects of its games."""
    wins = np.random.default_rng(0).integers(1, 20, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    fit, games = bradley_terry(wins, prior=0), wins + wins.T
    expected = (games / (1 + np.exp(fit[None] - fit[:, None]))).sum(1)
    assert np.allclose(expected, wins.sum(1), atol=1e-6)


def test_tables_that_have_no_answer():
    apart = np.zeros((4, 4))
    apart[0, 1] = apart[1, 0] = apart[2, 3] = apart[3, 2] = 5
    with pytest.raises(ValueError, match=r"2 groups were never compared: \[\[0, 1\], \[2, 3\]\]"):
        bradley_terry(apart)
    never_lost = np.array([[0.0, 5], [0, 0]])
    with pytest.raises(ValueError, match="no finite strength; use a prior"):
        bradley_terry(never_lost, prior=0)
    fit = bradley_terry(never_lost)
    assert fit[0] - fit[1] == pytest.approx(np.log(5.5 / 0.5))
    for wrong in (np.zeros((2, 3)), np.zeros((1, 1)), -np.ones((2, 2))):
        with pytest.raises(ValueError, match="bradley_terry: expected"):
            bradley_terry(wrong)
    with pytest.raises(ValueError, match="expected judgements, got none"):
        strengths([])


def test_strengths_of_simulated_raters_are_found_and_ordered():
    found = strengths(class_of(40), draws=200)
    assert list(found) == ["a", "b", "c"]
    for name, one in found.items():
        assert one.low < TRUTH[name] < one.high and one.high - one.low < 0.8


def test_intervals_cover_the_truth():
    """40 studies of 20 raters: few draws and few raters make the 95 % interval a little too narrow, and no more."""
    inside = 0
    for seed in range(40):
        one = strengths(class_of(20, seed=seed), draws=150, seed=seed)["a"]
        inside += one.low <= TRUTH["a"] <= one.high
    assert inside >= 34, f"{inside} of 40"


def test_leaning_to_the_left_shows_and_does_not_favour_a_method():
    answers = class_of(40, lean=1.0, truth=dict.fromkeys("abc", 0.0))
    assert left_share(answers).low > 0.65
    assert all(abs(one.strength) < 0.25 for one in strengths(answers, draws=50).values())
    assert left_share(class_of(40)).low < 0.5 < left_share(class_of(40)).high


def test_who_does_not_look_disagrees_with_themself():
    sure = {"a": 6.0, "b": 0.0, "c": -6.0}
    attentive = consistency(class_of(1, trials=18, repeats=18, truth=sure))["r0"]
    careless = consistency(class_of(1, trials=18, repeats=18, truth=sure, careless=True))["r0"]
    assert attentive.rate > 0.9 > careless.high and attentive.count == 18
    with pytest.raises(ValueError, match="rater r, item i: a repeated trial without its first"):
        consistency([judged("a", "b", "left", repeated=True)])


def test_a_table_for_the_page():
    lines = table(class_of(10, undecided=0.2), draws=50).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["a", "b", "c"]
    assert all(line.count("|") == 6 for line in lines)


def test_judgements_that_cannot_be():
    with pytest.raises(ValueError, match="expected one of left, right, same, got 'up'"):
        judged("a", "b", "up")
    with pytest.raises(ValueError, match="got 'a' on both sides"):
        judged("a", "a", "left")
