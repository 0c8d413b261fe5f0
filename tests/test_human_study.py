"""A human study: its plan, its blindness, what is kept of a rater's answers, the page with its buttons."""

import json
from collections import Counter
from itertools import count

import numpy as np
import pytest

from vtonlib.course.study_widget import StudyPage, trial_pictures
from vtonlib.human_study import PICTURES, STUDY, Rating, make_study, plan, read_answers, read_rows

METHODS = ("alpha-vton", "beta-vton", "gamma-vton")
ITEMS = tuple(f"person {number}" for number in range(8))


def picture(seed: int, size=(6, 4)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


PICTURES_OF = {item: {name: picture(10 * i + m) for m, name in enumerate(METHODS)} for i, item in enumerate(ITEMS)}
ABOUT = {"title": "Whose sleeves?", "question": "Which is better?", "pictures": PICTURES_OF, "raters": 3, "trials": 9}


@pytest.fixture
def study(tmp_path):
    shown = {ITEMS[0]: [picture(500), picture(501, (3, 3))]}
    return make_study(tmp_path / "study", tmp_path / "key.json", **ABOUT, shown=shown, repeats=2, seed=4)


# ---- the plan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trials", [1, 7, 12, 24])
def test_plans_are_balanced(trials):
    for rater in range(4):
        questions = plan(METHODS, ITEMS, rater, trials=trials, repeats=0, seed=1)
        pairs = Counter(frozenset((one.left, one.right)) for one in questions)
        counts = [pairs[frozenset(pair)] for pair in (METHODS[:2], METHODS[1:], METHODS[::2])]
        assert sum(counts) == trials and max(counts) - min(counts) <= 1
        for pair in pairs:
            one, _ = sorted(pair)
            left = sum(each.left == one for each in questions if {each.left, each.right} == pair)
            assert abs(2 * left - pairs[pair]) <= 1, "as often on the left as on the right"
        assert len({(one.item, frozenset((one.left, one.right))) for one in questions}) == trials


def test_repeated_questions_have_their_sides_exchanged_and_come_last():
    questions = plan(METHODS, ITEMS, 0, trials=9, repeats=3, seed=1)
    assert [one.repeated for one in questions] == [False] * 9 + [True] * 3
    for first, again in zip(questions[:3], questions[9:], strict=True):
        assert (first.item, first.left, first.right) == (again.item, again.right, again.left)


def test_plans_differ_between_raters_and_not_between_calls():
    plans = [plan(METHODS, ITEMS, rater, trials=9, repeats=1, seed=1) for rater in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize(
    ("methods", "items", "trials", "repeats", "message"),
    [
        (("a",), ITEMS, 1, 0, "two or more different methods"),
        (("a", "a"), ITEMS, 1, 0, "two or more different methods"),
        (METHODS, (), 1, 0, "0 items"),
        (METHODS, ITEMS, 25, 0, "expected 1 to 24 trials"),
        (METHODS, ITEMS, 3, 4, "at most as many repeats, got 3 and 4"),
    ],
)
def test_plans_that_cannot_be(methods, items, trials, repeats, message):
    with pytest.raises(ValueError, match=message):
        plan(methods, items, 0, trials=trials, repeats=repeats, seed=0)


# ---- what is handed out ----------------------------------------------------------------------------------------------


def test_nothing_in_the_folder_names_a_method(study):
    names = [path.name for path in study.rglob("*")]
    text = (study / STUDY).read_text() + " ".join(names)
    assert not any(method in text for method in METHODS) and not any(item in text for item in ITEMS)
    assert len(list((study / PICTURES).iterdir())) == len(ITEMS) * 3 + 2


def test_without_a_seed_names_cannot_be_made_again(tmp_path):
    for run in ("a", "b"):
        make_study(tmp_path / run, tmp_path / f"{run}.json", **ABOUT)
    one, other = ({path.name for path in (tmp_path / run / PICTURES).iterdir()} for run in ("a", "b"))
    assert not one & other


def test_sizes_that_tell_and_methods_that_miss(tmp_path):
    odd = PICTURES_OF | {ITEMS[1]: PICTURES_OF[ITEMS[1]] | {"beta-vton": picture(0, (6, 5))}}
    with pytest.raises(ValueError, match="item 'person 1': the methods could be told by their sizes"):
        make_study(tmp_path / "s", tmp_path / "k.json", **ABOUT | {"pictures": odd})
    less = PICTURES_OF | {ITEMS[1]: {"beta-vton": picture(0)}}
    with pytest.raises(ValueError, match=r"item 'person 1': expected the methods .* got \['beta-vton'\]"):
        make_study(tmp_path / "s", tmp_path / "k.json", **ABOUT | {"pictures": less})
    grey = PICTURES_OF | {ITEMS[1]: dict.fromkeys(METHODS, np.zeros((6, 4), np.uint8))}
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8, got uint8 \(6, 4\)"):
        make_study(tmp_path / "s", tmp_path / "k.json", **ABOUT | {"pictures": grey})
    with pytest.raises(ValueError, match="shown: expected items of pictures, got 'nobody'"):
        make_study(tmp_path / "s", tmp_path / "k.json", **ABOUT, shown={"nobody": []})
    assert not (tmp_path / "s").exists() and not (tmp_path / "k.json").exists()


def test_a_study_is_not_written_over_another(study, tmp_path):
    with pytest.raises(FileExistsError, match="study: is there already"):
        make_study(study, tmp_path / "other.json", **ABOUT)


# ---- answers ---------------------------------------------------------------------------------------------------------


def test_every_answer_is_on_disk_at_once_and_can_be_taken_back(study):
    rating = Rating(study, 1)
    assert rating.path == study / "rater-01.csv" and not rating.path.exists()
    rating.answer("left", 2.34)
    rating.answer("same")
    assert [row["choice"] for row in read_rows(rating.path)] == ["left", "same"]
    assert read_rows(rating.path)[0]["seconds"] == "2.3"
    rating.undo()
    assert [row["choice"] for row in read_rows(rating.path)] == ["left"]
    again = Rating(study, 1)
    assert again.current == rating.current == again.trials[1]
    while again.current:
        again.answer("right")
    assert len(read_rows(rating.path)) == 11
    with pytest.raises(ValueError, match="answered all questions"):
        again.answer("left")


def test_answers_come_back_under_their_names(study, tmp_path):
    """A rater who can read the key, and prefers alpha wherever it is."""
    key = json.loads((tmp_path / "key.json").read_text())["pictures"]
    (tmp_path / "returned").mkdir()
    for rater in (1, 2):
        rating = Rating(study, rater, tmp_path / "returned" / f"{rater}.csv")
        while trial := rating.current:
            right = key[trial.right]["method"] == "alpha-vton"
            rating.answer("right" if right else "left")
    judgements = read_answers(tmp_path / "returned", tmp_path / "key.json")
    assert len(judgements) == 22 and {each.rater for each in judgements} == {"1", "2"}
    with_alpha = [each for each in judgements if "alpha-vton" in (each.left, each.right)]
    assert with_alpha and all(each.winner == "alpha-vton" for each in with_alpha)
    assert {each.item for each in judgements} <= set(ITEMS)
    assert sum(each.repeated for each in judgements) == 4


def test_files_that_are_refused(study, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected raters' files \(\*\.csv\), got none"):
        read_answers(study, tmp_path / "key.json")
    with pytest.raises(ValueError, match="rater: expected a number from 1 to 3, got 4"):
        Rating(study, 4)
    with pytest.raises(FileNotFoundError, match="`make_study` writes it"):
        Rating(tmp_path / "nowhere", 1)
    rating = Rating(study, 1)
    rating.answer("left")
    text = rating.path.read_text()
    with pytest.raises(ValueError, match="line 2: expected rater '2', got '1'"):
        Rating(study, 2, rating.path)
    other = make_study(tmp_path / "two", tmp_path / "two.json", **ABOUT, seed=5)
    with pytest.raises(ValueError, match="line 2: expected study"):
        Rating(other, 1, rating.path)
    with pytest.raises(ValueError, match=r"rater-01\.csv, line 2: expected answers to study"):
        read_answers(study, tmp_path / "two.json")
    (study / "twice.csv").write_text(text)
    with pytest.raises(ValueError, match=r"rater 1 has answered in .*rater-01\.csv too"):
        read_answers(study, tmp_path / "key.json")
    for damaged, message in ((text.replace(",left,0.0", ",up,0.0"), "line 2: expected 9 values with a choice"),
                             (text.replace("trial", "try"), "line 1: expected the columns"),
                             (text[:-12], "line 2: expected 9 values")):  # fmt: skip
        rating.path.write_text(damaged)
        with pytest.raises(ValueError, match=message):
            Rating(study, 1)


# ---- the page --------------------------------------------------------------------------------------------------------


def test_buttons_answer_and_take_back(study):
    ticks = count(0, 2)
    page = StudyPage(Rating(study, 1), clock=lambda: float(next(ticks)))
    first = page.rating.current
    shown = [part.value for part in page.pair.children if hasattr(part, "format")]
    assert shown == [page.rating.picture(first.left), page.rating.picture(first.right)]
    assert page.progress.value == "question 1 of 11" and page.back.disabled
    page.buttons["right"].click()
    assert read_rows(page.rating.path)[0]["choice"] == "right" and read_rows(page.rating.path)[0]["seconds"] == "2.0"
    assert page.progress.value == "question 2 of 11" and not page.back.disabled
    page.back.click()
    assert page.rating.current == first and not read_rows(page.rating.path)
    for _ in range(11):
        page.buttons["same"].click()
    assert "thank you" in page.progress.value and all(button.disabled for button in page.buttons.values())
    assert str(page.rating.path) in page.pair.children[0].value


def test_what_is_given_is_shown_above(study):
    rating = Rating(study, 1)
    trials = [one for number in (1, 2, 3) for one in Rating(study, number).trials]
    given = next(one for one in trials if rating.shown(one))
    pictures = trial_pictures(rating, given)
    assert len(pictures) == 4 and np.array_equal(pictures[0], picture(500)) and pictures[1].shape == (3, 3, 3)
    other = next(one for one in trials if not rating.shown(one))
    assert len(trial_pictures(rating, other)) == 2
