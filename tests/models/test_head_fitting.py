from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.errors import InputError
from models.head_fitting import fit_head, folds_by_person, unseen_probabilities


def drawn(seed: int, count: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, count)
    features = rng.normal(size=(count, 4)) * [1, 5, 0.2, 1] + [0, 3, -1, 0]
    features[:, 0] += classes
    features[:, 2] -= 0.3 * (classes == 2)
    return features, classes, rng.uniform(0.2, 3.0, count)


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_the_head_is_the_textbooks(seed: int, strength: float) -> None:
    features, classes, weights = drawn(seed)
    head = fit_head(features, classes, weights, strength=strength)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    other = LogisticRegression(C=strength, max_iter=5000, tol=1e-10).fit(
        scaled, classes, sample_weight=weights
    )
    assert head.apply(features) == pytest.approx(other.predict_proba(scaled), abs=1e-4)


def test_a_missing_class_and_a_constant_feature_do_no_harm() -> None:
    features = np.array([[0.0, 7.0], [1.0, 7.0], [0.2, 7.0], [0.9, 7.0]])
    head = fit_head(features, np.array([0, 2, 0, 2]), np.ones(4), strength=1.0)
    shares = head.apply(features)
    assert np.isfinite(shares).all()
    assert shares[:, 1].max() < 1e-3
    assert shares.argmax(axis=1).tolist() == [0, 2, 0, 2]


def test_what_cannot_be_fitted_on_is_refused() -> None:
    with pytest.raises(InputError):
        fit_head(np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0), strength=1.0)
    with pytest.raises(InputError):
        fit_head(np.array([[np.nan]]), np.zeros(1, np.int64), np.ones(1), strength=1.0)


def test_nobody_is_in_two_folds_and_classes_are_spread(seed: int) -> None:
    rng = np.random.default_rng(seed)
    persons = rng.integers(0, 60, 500)
    classes = rng.choice(3, 500, p=[0.2, 0.5, 0.3])
    folds = folds_by_person(classes, persons, seed=1)
    for person in range(60):
        assert len(set(folds[persons == person].tolist())) == 1
    for number in range(3):
        spread = np.bincount(folds[classes == number], minlength=5)
        assert spread.max() - spread.min() <= 0.25 * spread.mean() + 3
    assert (folds_by_person(classes, persons, seed=1) == folds).all()
    assert (folds_by_person(classes, persons, seed=2) != folds).any()


def test_unknown_people_each_count_as_one_of_their_own() -> None:
    folds = folds_by_person(np.array([0, 1, 2] * 5), np.zeros(15, np.int64), seed=1)
    assert np.bincount(folds).tolist() == [3] * 5


def test_too_few_people_are_refused() -> None:
    with pytest.raises(InputError, match="at least 5 people; there are 4"):
        folds_by_person(np.zeros(8, np.int64), np.repeat(np.arange(4), 2), seed=1)


def test_a_face_is_judged_by_a_head_that_never_saw_its_person() -> None:
    # Each person has a mark that tells the class; a head that saw the person would always be right.
    persons = np.repeat(np.arange(20), 4)
    classes = np.random.default_rng(3).integers(0, 3, 20)[persons]
    features = np.eye(20)[persons]
    folds = folds_by_person(classes, persons, seed=1)
    unseen = unseen_probabilities(features, classes, np.ones(80), folds, strength=10.0)
    seen = fit_head(features, classes, np.ones(80), strength=10.0).apply(features)
    assert (seen.argmax(axis=1) == classes).all()
    assert (unseen.argmax(axis=1) == classes).mean() < 0.8
    assert unseen.sum(axis=1) == pytest.approx(np.ones(80))
