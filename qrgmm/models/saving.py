"""Fitted models as files: arrays by safetensors, everything else as JSON in its header; nothing in them can run."""

import json
from os import PathLike
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.base import BaseEstimator

from qrgmm.models.encoding import FieldEncoder


def write_model(model: BaseEstimator, path: str | PathLike, arrays: dict[str, np.ndarray], **header: Any) -> None:
    """Write a fitted model to one file.

    Parameters
    ----------
    model : estimator with `encoder_`, a FieldEncoder or None
    path : path
        Such as ``model.safetensors``.
    arrays : dict of str to array
    **header
        What else `read_model` shall return: numbers, strings, lists and dicts of them.

    Raises
    ------
    ValueError
        If levels of a categorical field are neither strings nor numbers.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from qrgmm.models.metamodel import QRGMM
    >>> model = QRGMM(levels=4).fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 3.0])
    >>> with TemporaryDirectory() as folder:
    ...     write_model(model, folder + "/model.safetensors", {"levels_": model.levels_})
    ...     _, arrays, _ = read_model(QRGMM, folder + "/model.safetensors")
    >>> arrays["levels_"]
    array([0.25, 0.5 , 0.75])
    """
    # Seed, encoder and grid of the settings have done their work.
    done = {name: None for name in ("random_state", "encoder", "levels") if name in model.get_params(deep=False)}
    header |= {
        "class": type(model).__name__,
        "settings": model.get_params(deep=False) | done,
        "encoder": None if model.encoder_ is None else model.encoder_.to_dict(),
        "n_features": int(model.n_features_in_),
        "names": list(getattr(model, "feature_names_in_", [])),
    }
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    save_file(arrays, path, metadata={"qrgmm": json.dumps(header, default=np.generic.item)})


def read_model(
    kind: type[BaseEstimator], path: str | PathLike, **settings: Any
) -> tuple[BaseEstimator, dict[str, np.ndarray], dict[str, Any]]:
    """Return a model with its settings and encoder, and what else `write_model` was given.

    Parameters
    ----------
    kind : class
        Of the model that was written.
    path : path
    **settings
        To be set in the place of those written.

    Returns
    -------
    model : kind
        Without its arrays.
    arrays : dict of str to array
    header : dict

    Raises
    ------
    ValueError
        If the file holds something else.

    Examples
    --------
    See `write_model`.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["qrgmm"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        if header["class"] != kind.__name__:
            raise KeyError(f"it holds a {header['class']}")
    except (SafetensorError, KeyError, TypeError) as error:  # a file without metadata has None
        raise ValueError(f"path must be a saved {kind.__name__}, got {path}: {error}") from error
    model = kind(**header["settings"] | settings)
    model.encoder_ = None if header["encoder"] is None else FieldEncoder.from_dict(header["encoder"])
    model.n_features_in_ = header["n_features"]
    if header["names"]:
        model.feature_names_in_ = np.array(header["names"], dtype=object)
    return model, arrays, header
