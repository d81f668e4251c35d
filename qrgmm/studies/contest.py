r"""One replication of the contest: every model on a simulator that nobody has seen, with signs at random.

Every replication draws the weights, vectors and signs of the factorization machines afresh, so that no model meets the
parameters that it was developed on, and none is favoured by the sign that its training starts from. Replication `r`
has the same simulators and data in all studies of this file, so that differences are paired. Chapters 7 and 9.
"""

import copy
from functools import partial
from typing import Any

import numpy as np

from qrgmm.models.conformal import Conformalised
from qrgmm.models.deepfm import DeepFMQRGMM
from qrgmm.models.encoding import FieldEncoder
from qrgmm.models.generators import CWGAN_SETTINGS, ConditionalWGAN
from qrgmm.models.peers import BayesianFM, PenalisedQuantiles
from qrgmm.models.trees import CatBoostQuantiles
from qrgmm.risk import expected_loss, largest_loan
from qrgmm.simulators.fm_location_scale import FM_VARIANTS, FMLocationScale
from qrgmm.studies.study import Study, quiet_about_unseen, score_rows
from qrgmm.studies.synthetic import (
    GENERATORS,
    OWN,
    PEERS,
    Marginal,
    Truth,
    draw_data,
    fit_copy,
    risk_errors,
    scores_given_x,
)

FEE = 0.05  # of the loan, and the limit on the default probability
# The SCF paper's network: one output per level, one network, straight fields, its last weights.
_BARE: dict[str, Any] = {
    "head": "free", "average": False, "curved": False, "n_members": 1, "recalibrate": False, "kinds": "flexible"
}
# Ablations that differ from QRGMM-dagger in what the output layer reads and in nothing else, without the stiff networks
# that QRGMM-dagger and QRGMM-F would share; and these alone.
FLEXIBLE = {
    "qrgmm_deepfm_flexible": DeepFMQRGMM(kinds="flexible"),
    "qrgmm_fm_flexible": DeepFMQRGMM(kinds="flexible", parts="fm"),
    "qrgmm_deep_flexible": DeepFMQRGMM(kinds="flexible", parts="deep"),
    "qrgmm_stiff": DeepFMQRGMM(kinds="stiff"),
}
# As the SCF paper describes them.
PUBLISHED = {
    "qrgmm_deepfm_paper": DeepFMQRGMM(**_BARE),
    "qrgmm_fm_paper": DeepFMQRGMM(parts="fm", **_BARE),
    "qrgmm_deep_paper": DeepFMQRGMM(parts="deep", **_BARE),
}
# The GAN by its authors' recipe, and the search of the SCF paper over the number of epochs, on held-out rows.
_SEARCH = {"validation_share": 0.1, "check_every": 50, "patience": None}
PUBLISHED_GAN = {"cwgan_paper": ConditionalWGAN(**CWGAN_SETTINGS["paper"] | _SEARCH)}
SHRUNKEN = {"bayesian_fm": BayesianFM()}
# Some sellers have no row but among those that are held out.
_CONFORMALISED = Conformalised(DeepFMQRGMM(encoder=FieldEncoder(unseen="other")))
OTHERS = {"catboost": CatBoostQuantiles(), "conformalised": _CONFORMALISED}
PENALISED = {"penalised": PenalisedQuantiles()}
# From the bare network up, one thing at a time; from QRGMM-dagger down, one thing at a time.
RUNGS_UP: dict[str, dict[str, Any]] = {
    "bare": {},
    "location and scale": {"head": "location-scale"},
    "mean of the weights": {"average": True},
    "curved fields": {"curved": True},
    "ten members": {"n_members": 10},
    "calibration": {"recalibrate": True},
    "stiff networks": {"kinds": "both"},
}
RUNGS_DOWN = {
    "no location and scale": {"head": "free"},
    "last weights": {"average": False},
    "straight fields": {"curved": False},
    "no calibration": {"recalibrate": False},
    "stiff networks alone": {"kinds": "stiff"},
}


def compare_on_variants(models, rng, n_rows, n_train, n_points, n_members=10, n_epochs=1000, variants=("base",)):
    """Study models on variants of the simulator with fresh parameters; the test is the variant.

    Parameters
    ----------
    models : dict of str to model
        By label; each has `fit`, `predict_curve` and `sample`.
    rng : numpy.random.Generator
    n_rows, n_train : int
        Rows, and how many of them train; the others are the test set.
    n_points : int
        Test rows whose risk curves are compared.
    n_members, n_epochs : int
        Of `DeepFMQRGMM`, and of networks that are trained by epochs; at most.
    variants : iterable of str
        Keys of `FM_VARIANTS`.

    Returns
    -------
    list of tuple
        Rows (model, test, metric, x, value).

    Examples
    --------
    >>> size = {"n_rows": 420, "n_train": 400, "n_points": 2}
    >>> rows = compare_on_variants({}, np.random.default_rng(0), **size)
    >>> sorted({model for model, test, metric, x, value in rows})
    ['marginal', 'truth']
    """
    rows = []
    data_rng, model_rng = rng.spawn(2)
    for variant, variant_rng in zip(FM_VARIANTS, data_rng.spawn(len(FM_VARIANTS))):
        if variant not in variants:
            continue
        simulator = FMLocationScale(variant, variant_rng)
        X, y, X_test, y_test = draw_data(simulator, n_rows, n_train, variant_rng)
        for name, model in ({"truth": Truth(simulator), "marginal": Marginal()} | models).items():
            model_seed = np.random.default_rng(model_rng.integers(2**31))
            with quiet_about_unseen():
                model = fit_copy(model, X, y, model_seed, n_members, n_epochs)
                rows += score_rows(name, variant, _score(model, simulator, X_test, y_test))
                rows += risk_errors(name, variant, model, Truth(simulator), X_test[:n_points])
    return rows


def climb(rng, n_rows, n_train, n_members=10, variants=("base", "reflected")):
    """Study what each ingredient of QRGMM-dagger adds to the network of the SCF paper; models are the rungs.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_rows, n_train, n_members
        As in `compare_on_variants`.
    variants : iterable of str
        All with the same parameters.

    Returns
    -------
    list of tuple
        Rows; the rungs up are named "+ ...", those down "- ...", and what both meet in is "qrgmm_deepfm".
    """
    parameters, seed = (int(number) for number in rng.integers(2**31, size=2))
    rungs, options = {}, dict(_BARE)
    for name, change in RUNGS_UP.items():
        options |= {key: min(value, n_members) if key == "n_members" else value for key, value in change.items()}
        rungs[f"+ {name}"] = dict(options)
    rungs["qrgmm_deepfm"] = rungs.pop("+ stiff networks")
    rungs |= {f"- {name}": options | change for name, change in RUNGS_DOWN.items()}
    rows = []
    for variant in variants:
        simulator = FMLocationScale(variant, parameters)
        X, y, X_test, y_test = draw_data(simulator, n_rows, n_train, np.random.default_rng(seed))
        rows += score_rows("truth", variant, _score(Truth(simulator), simulator, X_test, y_test))
        for name, chosen in rungs.items():
            model = DeepFMQRGMM(**chosen, random_state=seed).fit(X, y)
            rows += score_rows(name, variant, _score(model, simulator, X_test, y_test))
            if name == "qrgmm_deepfm":
                rows += score_rows("- other members", variant, _score(_first_members(model), simulator, X_test, y_test))
    return rows


def _first_members(model):
    """The model with one network of each kind."""
    model = copy.copy(model)
    model.parameters_ = [{name: value[:1] for name, value in kind.items()} for kind in model.parameters_]
    return model


def _score(model, simulator, X, y):
    """Distances and scores; the true default probability of loans granted for one of 5 %, and what they cost."""
    curve, truth = model.predict_curve(X), Truth(simulator).predict_curve(X)
    loans = largest_loan(curve, max_default_probability=FEE)[:, None]
    best = largest_loan(truth, max_default_probability=FEE)[:, None]
    profit, most = (FEE * each - expected_loss(truth, each) for each in (loans, best))
    promise = {"default_probability": simulator.cdf(X, loans).mean(), "regret": (most - profit).mean()}
    return scores_given_x(curve, simulator, X, y) | promise


_SIZES = {
    "tiny": {"n_rows": 1300, "n_train": 1200, "n_points": 5, "n_members": 2, "n_epochs": 12},
    "paper": {"n_rows": 10_000, "n_train": 8000, "n_points": 50},
}
_FEW_ROWS = {"n_rows": 420, "n_train": 400, "n_points": 2, "n_epochs": 12}
_FRESH = "parameters and signs of the simulator are drawn afresh in every replication"
STUDIES = {
    # Few replications of what the paper does not have, for one takes up to four minutes of a core.
    "contest": Study(partial(compare_on_variants, OWN | FLEXIBLE | PUBLISHED), _SIZES, _FRESH, 20),
    "contest_generators": Study(partial(compare_on_variants, GENERATORS), _SIZES, _FRESH, 4),
    "contest_gan": Study(
        partial(compare_on_variants, PUBLISHED_GAN), _SIZES | {"tiny": _FEW_ROWS}, f"{_FRESH}; 2 replications", 2
    ),
    "contest_peers": Study(partial(compare_on_variants, PEERS | SHRUNKEN), _SIZES, _FRESH, 20),
    "contest_others": Study(
        partial(compare_on_variants, OTHERS), _SIZES | {"tiny": _FEW_ROWS | {"n_members": 2}}, _FRESH, 20
    ),
    "contest_penalised": Study(partial(compare_on_variants, PENALISED), _SIZES, _FRESH, 8),
    "synthetic_variants": Study(
        partial(
            compare_on_variants,
            {name: OWN[name] for name in ("qrgmm_deepfm", "qrgmm")} | FLEXIBLE | {"bayesian_fm": BayesianFM()},
            variants=[name for name in FM_VARIANTS if name != "base"],
        ),
        _SIZES | {"tiny": _SIZES["tiny"] | {"variants": ["reflected"]}},
        _FRESH,
        10,
    ),
    "ladder": Study(
        climb,
        {
            "tiny": {"n_rows": 2100, "n_train": 2000, "n_members": 2},
            "paper": {"n_rows": 10_000, "n_train": 8000},
        },
        f"{_FRESH}; both signs of every replication",
        20,
    ),
}
