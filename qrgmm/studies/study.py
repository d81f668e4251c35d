"""What a recorded study is, and what several of them compute.

A study takes a random generator and its size as keyword arguments, and returns rows (model, test, metric, x, value);
`x` is what a figure has on its axis, else NaN. Rows of the model `truth` are the simulator itself: where the metric is
a distance, that between two of its samples, the noise floor.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from qrgmm.metrics import ks_statistic, wasserstein_distance


@dataclass(frozen=True)
class Study:
    """One recorded study.

    Attributes
    ----------
    replicate : callable
        ``replicate(rng, **setting)`` returns the rows of one replication.
    sizes : dict of str to dict
        The settings by size: "tiny", which chapters run live, "paper", which is recorded, and others.
    note : str
        How the setting of size paper differs from the paper's.
    n_replications : int
        Of the sizes that are not tiny: the paper's 100, or as many as two cores can do; a run with more adds to them.
    """

    replicate: Callable[..., list[tuple]]
    sizes: dict[str, dict]
    note: str
    n_replications: int = 100


@contextmanager
def quiet_about_unseen() -> Iterator[None]:
    """Let models meet a level that they have never seen without a warning: in a study it is no news.

    Returns
    -------
    context manager
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "column .* has levels never seen", UserWarning)
        yield


def score_rows(model: str, test: str, scores: dict[str, float], x: float = np.nan) -> list[tuple]:
    """Return rows of a study, one per metric.

    Parameters
    ----------
    model, test : str
    scores : dict of str to float
        By metric.
    x : float

    Returns
    -------
    list of tuple

    Examples
    --------
    >>> score_rows("qrgmm", "unconditional", {"ks": 0.1}, x=30)
    [('qrgmm', 'unconditional', 'ks', 30, 0.1)]
    """
    return [(model, test, metric, x, float(value)) for metric, value in scores.items()]


def compare_samples(sample: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Return mean and standard deviation of a sample, and its distances to another, by metric.

    Parameters
    ----------
    sample, reference : array of shape (n_draws,)

    Returns
    -------
    dict of str to float

    Examples
    --------
    >>> compare_samples(np.array([1.0, 2.0]), np.array([2.0, 3.0]))["wd"]
    1.0
    """
    distances = {"wd": wasserstein_distance(sample, reference), "ks": ks_statistic(sample, reference)}
    return {"mean": sample.mean(), "sd": sample.std(ddof=1), **distances}
