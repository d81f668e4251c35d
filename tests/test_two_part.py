"""A law in two parts, and the law of the seller's own past, against closed forms, simulation and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from qrgmm.curve import QuantileCurve
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.metamodel import QRGMM
from qrgmm.models.own_past import OwnPast
from qrgmm.models.two_part import TwoPart
from qrgmm.risk import default_probability, expected_loss, largest_loan

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame({"days": RNG.uniform(0, 60, 3000), "kind": RNG.choice(["a", "b"], 3000)})
SELLING = expit(2.5 - 0.06 * FRAME["days"].to_numpy())
SALES = (RNG.random(3000) < SELLING) * RNG.uniform(10, 20, 3000) * (1 + (FRAME["kind"] == "b"))


@given(st.floats(0, 1), st.lists(st.floats(0, 100), min_size=1, max_size=5), st.floats(0, 120))
def test_a_law_with_an_atom_is_the_mixture(p, values, y):
    law = QuantileCurve(np.arange(1, len(values) + 1) / (len(values) + 1), [values])
    mixture = law.zero_inflate(p)
    np.testing.assert_allclose(mixture.cdf(y), 1 - p + p * law.cdf(y), atol=1e-12)
    np.testing.assert_allclose(mixture.mean(), p * law.mean(), atol=1e-9)
    np.testing.assert_allclose(expected_loss(mixture, y), (1 - p) * y + p * expected_loss(law, y), atol=1e-9)
    below = default_probability(law, y)
    np.testing.assert_allclose(default_probability(mixture, y), (y > 0) * (1 - p) + p * below, atol=1e-12)
    u = np.linspace(0.001, 0.999, 50)
    expected = np.where(u <= 1 - p, 0.0, law.ppf(((u - 1 + p) / max(p, 1e-300)).clip(0, 1)))
    far = np.abs(u - (1 - p)) > 1e-9  # on the step both ends are quantiles
    np.testing.assert_allclose(mixture.ppf(u)[:, far], expected[:, far], atol=1e-6)


def test_rows_may_have_atoms_of_their_own_and_certainty_changes_nothing():
    law = QuantileCurve([0.25, 0.75], [[10.0, 30.0], [0.0, 8.0]]).clip(0)
    np.testing.assert_allclose(law.zero_inflate(1.0).cdf([0.0, 9.0]), law.cdf([0.0, 9.0]), atol=1e-15)
    never = law.zero_inflate([0.0, 0.5])
    assert (never.cdf(0.0)[:, 0] == [1.0, 0.625]).all() and never.mean()[0] == 0
    assert (never.sample(100, 0)[0] == 0).all()
    assert largest_loan(never, max_default_probability=0.1).tolist() == [0.0, 0.0]
    twice = law.zero_inflate([0.9, 0.8]).zero_inflate(0.5)
    np.testing.assert_allclose(twice.cdf([5.0, 20.0]), law.zero_inflate([0.45, 0.4]).cdf([5.0, 20.0]), atol=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda law: law.zero_inflate(1.2), "probability must lie in"),
        (lambda law: law.zero_inflate([0.5, np.nan]), "probability"),
        (lambda law: law.zero_inflate([0.5, 0.5, 0.5]), "probability"),
        (lambda law: law.map(lambda sales: sales - 50).zero_inflate(0.5), "no sales below 0"),
    ],
)
def test_an_atom_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change(QuantileCurve([0.25, 0.75], [[10.0, 30.0], [5.0, 8.0]]))


def test_both_parts_are_those_of_their_models_and_the_law_is_calibrated():
    model = TwoPart(QRGMM(levels=20)).fit(FRAME, SALES)
    selling = model.predict_selling(FRAME)
    np.testing.assert_allclose(selling, SELLING, atol=0.06)
    rows = SALES > 0
    rest = QRGMM(levels=20).fit(FRAME[rows], SALES[rows])
    np.testing.assert_allclose(model.predict_curve(FRAME).values[:, 1:], rest.predict_curve(FRAME).values)
    design = FieldEncoder().fit(FRAME).transform(FRAME)
    design = (design - design.mean(axis=0)) / design.std(axis=0)
    logistic = LogisticRegression(C=1 / 20, tol=1e-10).fit(design, rows)
    np.testing.assert_allclose(selling, logistic.predict_proba(design)[:, 1], atol=1e-6)
    # Shares of zeros where few and where many are promised.
    for part in (FRAME["days"] < 20, FRAME["days"] > 40):
        np.testing.assert_allclose(model.predict_curve(FRAME[part]).cdf(0.0).mean(), (~rows)[part].mean(), atol=0.03)


def test_arrays_other_models_and_sellers_who_all_sell():
    array = FRAME[["days"]].to_numpy()
    model = TwoPart().fit(array, SALES)
    assert model.sample(array[:3], 5, rng=0).shape == (3, 5) and clone(model).get_params() == model.get_params()
    everybody = TwoPart(QRGMM(levels=9)).fit(FRAME, SALES + 1)
    assert everybody.classifier_ is None and (everybody.predict_selling(FRAME) == 1).all()
    plain = QRGMM(levels=9).fit(FRAME, SALES + 1)
    np.testing.assert_allclose(everybody.predict(FRAME[:9]), plain.predict_curve(FRAME[:9]).clip(0.0).mean())
    named = model.predict_curve(array[:2])
    assert len(named) == 2


@pytest.mark.parametrize(
    ("model", "y", "message"),
    [
        (TwoPart(), -SALES, "y must be at least 0"),
        (TwoPart(), 0 * SALES, "only zeros"),
        (TwoPart(), SALES[:9], "shape"),
        (TwoPart(penalty=-1.0), SALES, "penalty must be at least 0"),
        (TwoPart(penalty=np.nan), SALES, "penalty must be at least 0"),
        (TwoPart(), np.where(SALES > 0, np.nan, 0), "finite"),
    ],
)
def test_what_has_no_two_parts_is_refused(model, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(FRAME, y)


def test_shrinkage_of_the_own_past_is_that_of_the_variances():
    rng = np.random.default_rng(0)
    n_sellers, n = 3000, 4
    effect = rng.normal(0, 0.6, n_sellers)
    logs = 4.5 + effect[:, None] + rng.normal(0, 0.3, (n_sellers, n))
    X = pd.DataFrame({"seller": np.repeat([f"s{i}" for i in range(n_sellers)], n), "other": 1.0})
    model = OwnPast(levels=9).fit(X, np.expm1(logs).ravel())
    means = pd.Series(logs.mean(axis=1) - model.mean_, [f"s{i}" for i in range(n_sellers)])
    share = n * 0.36 / (n * 0.36 + 0.09)
    np.testing.assert_allclose(model.effects_ / means.loc[model.effects_.index], share, rtol=0.02)
    new = model.predict_quantiles(pd.DataFrame({"seller": ["nobody"]}), [0.5])
    np.testing.assert_allclose(np.log1p(new[0, 0]), 4.5, atol=0.03)


def test_sellers_without_differences_are_all_the_same_and_bad_sales_are_refused():
    X = pd.DataFrame({"seller": np.repeat(list("abcdef"), 50)}, index=np.arange(300) + 7)
    y = np.expm1(np.tile(np.linspace(1, 2, 50), 6))
    curve = OwnPast(levels=4).fit(X, y).predict_curve(X[:9])
    assert np.ptp(curve.values, axis=0).max() == 0 and curve.index.tolist() == list(range(7, 16))
    for bad in (y[:9], -y, np.where(y > 5, np.nan, y)):
        with pytest.raises(ValueError, match="y must be finite and at least 0"):
            OwnPast().fit(X, bad)
    assert OwnPast(levels=2).fit(X[:1], y[:1]).predict(X[:1]) == pytest.approx(y[0])
