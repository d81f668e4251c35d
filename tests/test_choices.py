"""No test row, no truth and no later split enters a choice: settings, weights, levels, epochs.

Each rule is tried on what the studies do, and on a planted fault that it must catch.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.model_selection import ShuffleSplit

from qrgmm.curve import QuantileCurve
from qrgmm.models import deepfm, generators
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.generators import ConditionalWGAN
from qrgmm.simulators.fm_location_scale import FMLocationScale
from qrgmm.studies import contest, sales, synthetic
from qrgmm.studies.results import RESULTS, load_results

SIMULATOR = FMLocationScale()
SECONDS = 15  # in which a setting must train to be used
SLOW = "penalised"  # of which no setting does


class Spy(BaseEstimator):
    """A model that remembers what it was given to learn from, and what it was asked about."""

    seen: list = []

    def fit(self, X, y):
        """Remember the rows."""
        Spy.seen.append(SimpleNamespace(fitted=frozenset(y), asked=[]))
        self.law_ = np.quantile(y, [0.1, 0.5, 0.9])
        self.record_ = Spy.seen[-1]
        return self

    def predict_curve(self, X):
        """Return the same law for every row."""
        self.record_.asked.append(len(X))
        return QuantileCurve([0.1, 0.5, 0.9], np.tile(self.law_, (len(X), 1)))

    def sample(self, X, n_draws, rng=None):
        """Return draws of it."""
        return self.predict_curve(X).sample(n_draws, rng)


@pytest.fixture(autouse=True)
def nothing_seen():
    Spy.seen = []


def small_table():
    """A table as the studies of sales load it, with sales that are all different."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"store": rng.choice(["a", "b"], 200), "price": rng.uniform(1, 2, 200)})
    return X, rng.uniform(1, 100, 200), {"store": pd.Series((X["store"] == "a").astype(int))}, None


def find_chosen(trail):
    """What the rule chooses: the lowest score on held-out rows within the time, where any setting keeps it."""
    quick = trail[(trail["cpu_seconds"] <= SECONDS) | (trail["model"] == SLOW)]
    return quick.loc[quick.groupby("model")["heldout_crps"].idxmin()].index


def check_settings(trail):
    assert set(trail.columns) == {"model", "setting", "heldout_crps", "cpu_seconds", "chosen"}, "no truth among them"
    assert set(trail.index[trail["chosen"] == 1]) == set(find_chosen(trail))


def test_settings_in_use_are_chosen_by_the_score_on_held_out_rows_alone():
    trail = pd.read_csv(RESULTS / "tuning_generators.csv")
    check_settings(trail)
    with pytest.raises(AssertionError, match="no truth"):
        check_settings(trail.assign(ks=0.2))
    other = trail.index[(trail["model"] == "diffusion") & (trail["chosen"] == 0)][0]
    with pytest.raises(AssertionError):
        check_settings(trail.assign(chosen=trail["chosen"].where(trail["model"] != "diffusion", trail.index == other)))


def check_apart(fitted, test):
    assert not set(fitted) & set(test), "a test row was learned from"


def test_no_study_of_sales_learns_from_its_test_rows():
    X, y, _, _ = small_table()
    rng = np.random.default_rng(1)
    sales.compare_on_split(lambda: {"spy": Spy()}, small_table, rng)
    split_rng, _ = np.random.default_rng(1).spawn(2)
    seed = int(split_rng.integers(2**31))
    train, test = next(ShuffleSplit(1, test_size=sales.TEST_SHARE, random_state=seed).split(np.arange(200)))
    (record,) = Spy.seen
    assert record.fitted == set(y[train])
    check_apart(record.fitted, y[test])
    with pytest.raises(AssertionError, match="test row"):
        check_apart(record.fitted | {y[test[0]]}, y[test])


def test_tuning_sees_training_rows_of_its_own_split_only(monkeypatch):
    _, y, _, _ = small_table()
    monkeypatch.setitem(sales.CANDIDATES, "spy", (lambda encoder=None: Spy(), [{}, {}]))
    sales.tune(["spy"], small_table, np.random.default_rng(1))
    split_rng, _ = np.random.default_rng(1).spawn(2)
    seed = int(split_rng.integers(2**31))
    train, test = next(ShuffleSplit(1, test_size=sales.TEST_SHARE, random_state=seed).split(np.arange(200)))
    for record in Spy.seen:
        check_apart(record.fitted, y[test])
        assert record.fitted < set(y[train]) and record.asked == [len(train) - len(record.fitted)]


def check_first_splits(table, record):
    first = range(sales.STUDIES[f"{table}_tuning"].n_replications)
    assert set(record["replication"]) <= set(first), "a later split entered the choice"


@pytest.mark.parametrize("table", ["big_mart", "cross_border"])
def test_settings_of_sales_are_chosen_on_the_first_splits_alone(table):
    record = load_results(f"{table}_tuning", "paper")
    check_first_splits(table, record)
    later = record.assign(replication=record["replication"] + record["replication"].max() + 1)
    with pytest.raises(AssertionError, match="later split"):
        check_first_splits(table, pd.concat([record, later]))


@pytest.mark.parametrize("study", ["contest", "synthetic"])
def test_no_study_of_a_simulator_learns_from_its_test_rows(study, monkeypatch):
    drawn = []
    module = {"contest": contest, "synthetic": synthetic}[study]
    original = synthetic.draw_data

    def watch(*arguments):
        drawn.append(original(*arguments))
        return drawn[-1]

    monkeypatch.setattr(module, "draw_data", watch)
    size = {"n_rows": 1650, "n_train": 1500, "n_points": 3}
    if study == "contest":
        contest.compare_on_variants({"spy": Spy()}, np.random.default_rng(0), **size)
    else:
        synthetic.compare_models({"spy": Spy()}, np.random.default_rng(0), n_draws=100, n_loans=2, **size)
    (record,), ((_, y, _, y_test),) = Spy.seen, drawn
    assert record.fitted == set(y)
    check_apart(record.fitted, y_test)


def check_left_out(seen, chosen, n_rows):
    """Rows that weights and levels are learned from are rows that the member in question did not see."""
    for rows, held_out in zip(seen, chosen):
        assert not set(rows) & set(held_out), "a row was both learned from and chosen by"
        assert set(rows) | set(held_out) <= set(range(n_rows))


def test_weights_and_levels_come_from_training_rows_that_a_member_left_out(monkeypatch):
    X = SIMULATOR.draw_covariates(120, rng=4)
    y = SIMULATOR.draw(X, rng=5)
    seen, chosen = [], []
    train, predict = deepfm.train, deepfm.predict_members

    def watch_train(network, parameters, codes, basis, sales, rows, *others):
        seen.extend(rows.tolist())
        return train(network, parameters, codes, basis, sales, rows, *others)

    def watch_predict(network, parameters, codes, basis):
        chosen.append(codes)
        return predict(network, parameters, codes, basis)

    monkeypatch.setattr(deepfm, "train", watch_train)
    monkeypatch.setattr(deepfm, "predict_members", watch_predict)
    model = DeepFMQRGMM(levels=4, n_members=4).fit(X, y)
    every_code = torch.tensor(model._encode(X)[0])
    places = {tuple(code): i for i, code in enumerate(every_code.tolist())}
    held_out = [[places[tuple(code)] for code in member] for codes in chosen for member in codes.tolist()]
    distinct = len(places) == len(X)
    assert distinct, "each row can be told by its codes"
    check_left_out(seen, held_out, len(X))
    with pytest.raises(AssertionError, match="both learned"):
        check_left_out(seen, [[*held_out[0], seen[0][0]]], len(X))


def test_epochs_are_chosen_by_training_rows_held_out_from_the_network(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(1, 2, size=(60, 1)), rng.uniform(1, 100, 60)
    scored, split = [], generators.split_rows
    parts = []

    def watch_split(*arguments):
        parts.append(split(*arguments))
        return parts[-1]

    def watch_scores(curve, sales):
        scored.append(frozenset(sales))
        return original(curve, sales)

    original = generators.mean_scores
    monkeypatch.setattr(generators, "split_rows", watch_split)
    monkeypatch.setattr(generators, "mean_scores", watch_scores)
    ConditionalWGAN(hidden=(4,), n_epochs=4, check_every=1).fit(X, y)
    ((kept, held_out),) = parts
    assert scored and set(scored) == {frozenset(y[held_out])}
    check_apart(y[kept], y[held_out])
