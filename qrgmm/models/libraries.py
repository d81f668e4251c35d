"""What other people's models are given: a data frame, checked sales, a seed for torch, units that they can compute in.

`qrgmm.models.trees` and `qrgmm.models.peers` hand these to the libraries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import validate_data

from qrgmm.checks import Rng
from qrgmm.models.encoding import FieldEncoder, check_unitless, choose_encoder, to_frame
from qrgmm.models.law_model import check_lower, fix_seed, location_and_scale
from qrgmm.models.training import one_thread

N_FOLDS = 5  # by which a forest encodes categories, and which give a Bayesian machine its residuals
FAR = 1000.0  # standard deviations between sales and zero from which on they are moved


@contextmanager
def seeded(random_state: Rng, dtype: torch.dtype = torch.float32) -> Iterator[torch.Generator]:
    """Give torch's global generator, which libraries draw from, a seed, and new layers a precision.

    What the user had set is put back afterwards.

    Parameters
    ----------
    random_state : int, numpy.random.Generator or None
    dtype : torch.dtype

    Returns
    -------
    context manager
        Of a generator with the same seed.
    """
    seed, precision = int(np.random.default_rng(random_state).integers(2**63)), torch.get_default_dtype()
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            torch.set_default_dtype(precision)


def as_frame(model: Any, X: pd.DataFrame | ArrayLike, reset: bool = False) -> pd.DataFrame:
    """Return the data frame that the encoder takes; the columns of an array are continuous fields.

    Parameters
    ----------
    model : estimator
        Keeps the names and the number of columns.
    X : data frame or array of shape (n_rows, n_columns)
    reset : bool
        In `fit`, where these are not known yet.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError
        If an array is not finite or has another number of columns than in `fit`.
    """
    if isinstance(X, pd.DataFrame):
        if reset:
            validate_data(model, X, skip_check_array=True)
        return X
    return to_frame(validate_data(model, check_unitless("X", X), reset=reset, dtype=float))


def prepare(model: Any, X: pd.DataFrame | ArrayLike, y: ArrayLike, least: int = 2) -> tuple[pd.DataFrame, np.ndarray]:
    """Check the data of `fit`, fix the seed, fit the encoder; return data frame and sales.

    Parameters
    ----------
    model : estimator
        Gets `seed_` and `encoder_`.
    X : data frame or array of shape (n_rows, n_columns)
    y : array of shape (n_rows,)
    least : int
        Rows that are needed.

    Returns
    -------
    frame, sales : pandas.DataFrame, array of shape (n_rows,)

    Raises
    ------
    ValueError
        If shapes do not match, values are not finite, or there are too few rows.
    """
    check_lower(model.lower)
    X = as_frame(model, X, reset=True)
    sales = np.asarray(check_unitless("y", y), dtype=float)
    if sales.shape != (len(X),):
        raise ValueError(f"y must have shape ({len(X)},) like the rows of X, got shape {sales.shape}")
    if not np.isfinite(sales).all():
        n_bad = int((~np.isfinite(sales)).sum())
        raise ValueError(f"y must be finite, got NaN or infinity in {n_bad} of {len(sales)} rows")
    if len(sales) < least:
        raise ValueError(f"X needs at least {least} rows, got n_samples = {len(sales)}")
    model.seed_ = fix_seed(getattr(model, "random_state", 0))
    model.encoder_ = (choose_encoder(model.encoder, X) or FieldEncoder()).fit(X)
    return X, sales


def to_library_units(model: Any, sales: np.ndarray) -> np.ndarray:
    """Return sales as the libraries can be given them, and keep what takes their laws back.

    Trees do not split small numbers, and labels in single precision lose what is small beside their mean. Dividing by a
    power of two changes no digit; only sales far from zero are moved.

    Parameters
    ----------
    model : estimator
        Gets `unit_` and `shift_`.
    sales : array of shape (n_rows,)

    Returns
    -------
    array of shape (n_rows,)

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace()
    >>> to_library_units(model, np.array([1e-9, 3e-9])).round(2), model.unit_ == 2.0**-30
    (array([1.07, 3.22]), np.True_)
    """
    location, scale = location_and_scale(sales)
    model.unit_ = 2.0 ** np.round(np.log2(scale)) if scale else 0.0
    model.shift_ = location if abs(location) > FAR * scale else 0.0
    return (sales - model.shift_) / (model.unit_ or 1.0)
