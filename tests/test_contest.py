"""The contest at sizes smaller than tiny: fresh simulators, paired data, ablations that differ in one thing."""

import numpy as np
import pytest
from sklearn.base import clone

from qrgmm.models import deepfm_network
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.simulators.fm_location_scale import FM_VARIANTS, FMLocationScale
from qrgmm.studies import contest
from qrgmm.studies.contest import (
    FEE,
    FLEXIBLE,
    OTHERS,
    PENALISED,
    PUBLISHED,
    PUBLISHED_GAN,
    RUNGS_DOWN,
    RUNGS_UP,
    SHRUNKEN,
    STUDIES,
    climb,
    compare_on_variants,
)
from qrgmm.studies.synthetic import GENERATORS, OWN, PEERS

SMALL = {"n_rows": 1650, "n_train": 1500, "n_points": 3, "n_members": 2}
ERRORS = ("pd_error", "el_error", "lgd_error", "squared_error")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(deepfm_network, "MIN_BATCHES", 2)


def table(study, *arguments, seed=0, **setting):
    rows = study(*arguments, np.random.default_rng(seed), **setting)
    found = {(model, test, metric): value for model, test, metric, _, value in rows}
    assert len(found) == len(rows), "no row comes twice"
    assert np.isfinite(list(found.values())).all()
    return found


def test_no_two_models_have_one_label():
    theirs = [*PUBLISHED, *PUBLISHED_GAN, *GENERATORS, *PEERS, *SHRUNKEN, *PENALISED, *OTHERS]
    labels = [*OWN, *FLEXIBLE, *theirs, "truth", "marginal"]
    assert len(set(labels)) == len(labels)
    assert all(set(study.sizes) == {"tiny", "paper"} for study in STUDIES.values())


def test_variants_differ_and_the_truth_is_best_in_each():
    found = table(compare_on_variants, {}, variants=FM_VARIANTS, **SMALL)
    assert {test for _, test, _ in found} == set(FM_VARIANTS)
    for variant in FM_VARIANTS:
        assert found["truth", variant, "ks"] < 0.004 < found["marginal", variant, "ks"]
        assert all(found["truth", variant, metric] == 0 for metric in ERRORS)
        assert found["truth", variant, "default_probability"] == pytest.approx(FEE, abs=2e-3)
        assert found["truth", variant, "regret"] == 0 < found["marginal", variant, "regret"]


def test_every_replication_has_other_parameters_and_signs(monkeypatch):
    drawn = []

    class Recorded(FMLocationScale):
        def __init__(self, variant, parameters=None):
            super().__init__(variant, parameters)
            drawn.append(self)

    monkeypatch.setattr(contest, "FMLocationScale", Recorded)
    for seed in range(12):
        table(compare_on_variants, {}, seed=seed, **SMALL)
    vectors = {simulator._location.vectors[0][0, 0] for simulator in drawn}
    signs = {tuple(simulator._location.signs) for simulator in drawn}
    assert len(vectors) == 12 and len(signs) > 1
    book = FMLocationScale()._location.vectors[0][0, 0]
    assert book not in vectors, "nobody is judged on the parameters that the models were developed on"


def test_a_replication_has_the_same_data_whatever_is_compared():
    alone, among = (
        table(compare_on_variants, {}, variants=variants, **SMALL) for variants in (["base"], FM_VARIANTS)
    )
    assert {key: among[key] for key in alone} == alone
    with_model = table(compare_on_variants, {"qrgmm": OWN["qrgmm"]}, **SMALL)
    assert {key: with_model[key] for key in alone} == alone


@pytest.mark.parametrize("kind", ["", "_flexible", "_paper"])
def test_ablations_differ_in_one_argument(kind):
    models = OWN | FLEXIBLE | PUBLISHED
    both, machine, deep = (models[f"qrgmm_{name}{kind}"].get_params() for name in ("deepfm", "fm", "deep"))
    assert both | {"parts": "fm"} == machine and both | {"parts": "deep"} == deep


def test_what_is_published_is_bare():
    (network,) = PUBLISHED["qrgmm_deepfm_paper"]._kinds()
    assert network.head == "free" and network.n_knots == 0 and not network.average
    model = PUBLISHED["qrgmm_deepfm_paper"]
    assert model.n_members == 1 and not model.recalibrate
    assert PUBLISHED_GAN["cwgan_paper"].n_epochs == 1000 and PUBLISHED_GAN["cwgan_paper"].patience is None


def test_the_ladder_leads_from_the_bare_network_to_the_default_one_thing_at_a_time(monkeypatch):
    chosen = []

    class Recorded(DeepFMQRGMM):
        def fit(self, X, y):
            chosen.append({name: value for name, value in self.get_params().items() if name != "random_state"})
            return clone(self).set_params(levels=4, n_members=2 if self.n_members > 1 else 1).fit_quickly(X, y)

        def fit_quickly(self, X, y):
            return super().fit(X, y)

    monkeypatch.setattr(contest, "DeepFMQRGMM", Recorded)
    found = table(climb, n_rows=420, n_train=400, variants=["base"])
    bare, ours = PUBLISHED["qrgmm_deepfm_paper"].get_params(), DeepFMQRGMM().get_params()
    up, down = chosen[: len(RUNGS_UP)], chosen[len(RUNGS_UP) :]
    assert up[0] == {name: bare[name] for name in up[0]} and up[-1] == {name: ours[name] for name in up[-1]}
    for lower, upper in zip(up, up[1:]):
        assert sum(lower[name] != upper[name] for name in lower) == 1
    assert len(down) == len(RUNGS_DOWN)
    for each in down:
        assert sum(each[name] != up[-1][name] for name in each) == 1
    models = {model for model, _, _ in found}
    assert models == {f"+ {name}" for name in RUNGS_UP} - {"+ stiff networks"} | {
        f"- {name}" for name in [*RUNGS_DOWN, "other members"]
    } | {"truth", "qrgmm_deepfm"}


def test_both_signs_of_the_ladder_have_the_same_task():
    found = table(climb, n_rows=420, n_train=400, n_members=2)
    for metric in ("ks", "crps"):
        assert found["truth", "base", metric] == pytest.approx(found["truth", "reflected", metric], rel=0.3)
