"""Data frames to arrays: categorical fields, continuous fields, and what to do with levels never seen."""

import warnings
from numbers import Number
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted


class FieldEncoder(TransformerMixin, BaseEstimator):
    """Turn a data frame of sellers or products into a design matrix, or into field codes for a network.

    Parameters
    ----------
    categorical, continuous : list of str, optional
        Column names. By default the non-numeric columns and the numeric ones.
    unseen : {"raise", "other"}
        A level that the fitted data did not have is refused with a ValueError, or warned about and treated as an
        "other" level: in the design matrix the average of the known levels, in the codes one code more.

    Attributes
    ----------
    categories_ : dict of str to array
        The levels of each categorical field, sorted.
    n_features_in_ : int
    feature_names_in_ : array of str

    Raises
    ------
    ValueError
        If the input is not a data frame, a column is missing, or a field has missing or infinite values.

    Notes
    -----
    The design matrix drops the first level of each field, so that with an intercept its columns are independent.
    Introduced in chapter 4.

    Examples
    --------
    >>> frame = pd.DataFrame({"store": ["a", "b", "b"], "price": [1.0, 2.0, 3.0]})
    >>> encoder = FieldEncoder().fit(frame)
    >>> list(encoder.get_feature_names_out())
    ['store=b', 'price']
    >>> encoder.transform(frame).round(2)
    array([[ 0.  , -1.22],
           [ 1.  ,  0.  ],
           [ 1.  ,  1.22]])
    """

    def __init__(
        self,
        categorical: list[str] | None = None,
        continuous: list[str] | None = None,
        unseen: Literal["raise", "other"] = "raise",
    ):
        self.categorical = categorical
        self.continuous = continuous
        self.unseen = unseen

    def fit(self, X: pd.DataFrame, y: ArrayLike | None = None) -> Self:
        """Learn the levels of each categorical field, their frequencies, and each continuous field's scale."""
        if self.unseen not in ("raise", "other"):
            raise ValueError(f"unseen must be 'raise' or 'other', got {self.unseen!r}")
        _require_frame(X)
        numeric = list(X.select_dtypes("number").columns)
        named = [*(self.categorical or []), *(self.continuous or [])]
        for names in (list(X.columns), named):
            twice = [str(name) for name in dict.fromkeys(names) if names.count(name) > 1]
            if twice:
                raise ValueError(f"each column of X must be named once, got {twice} more than once")
        categorical, continuous = self.categorical, self.continuous
        if categorical is None:
            categorical = [name for name in X.columns if name not in numeric + named]
        if continuous is None:
            continuous = [name for name in numeric if name not in named]
        self.categorical_, self.continuous_ = categorical, continuous
        self.feature_names_in_ = np.array([*self.categorical_, *self.continuous_], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        categories, values = self._fields(X)
        self._levels: Any = None
        self._scaler: Any = None
        self.categories_, self._frequencies = {}, []
        if self.categorical_:
            self._levels = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(categories)
            self.categories_ = dict(zip(self.categorical_, self._levels.categories_, strict=True))
            codes = self._levels.transform(categories).astype(int)
            self._frequencies = [np.bincount(column) / len(X) for column in codes.T]
        if self.continuous_:
            self._scaler = StandardScaler().fit(values)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the design matrix.

        Parameters
        ----------
        X : pandas.DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        array of shape (n_rows, n_features)
            For each categorical field one indicator per level but the first, then the continuous fields with mean 0
            and standard deviation 1.
        """
        codes, continuous = self.transform_fields(X)
        blocks = []
        for column, frequency in zip(codes.T, self._frequencies, strict=True):
            # The last row stands for a level never seen: the average of those that were.
            indicators = np.vstack([np.eye(len(frequency)), frequency])
            blocks.append(indicators[column, 1:])
        return np.hstack([*blocks, continuous])

    def transform_fields(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of the categorical fields and the scaled continuous fields, as networks take them.

        Parameters
        ----------
        X : pandas.DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        codes : array of int of shape (n_rows, n_categorical)
            A level never seen gets the code after the last known one.
        continuous : array of shape (n_rows, n_continuous)
        """
        check_is_fitted(self)
        categories, continuous = self._fields(X)
        codes = np.empty((len(X), 0), dtype=int)
        if self.categorical_:
            codes = self._levels.transform(categories).astype(int)
            self._handle_unseen(categories, codes)
            sizes = np.array([len(levels) for levels in self.categories_.values()])
            codes = np.where(codes < 0, sizes, codes)
        if self.continuous_:
            continuous = self._scaler.transform(continuous)
        return codes, continuous

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of the design matrix, such as "store=b"."""
        check_is_fitted(self)
        indicators = [f"{name}={level}" for name, levels in self.categories_.items() for level in levels[1:]]
        return np.array(indicators + self.continuous_, dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that the fitted encoder knows as numbers, strings and lists, for JSON.

        Raises
        ------
        ValueError
            If levels of a field are neither strings nor numbers.
        """
        check_is_fitted(self)
        for name, levels in self.categories_.items():
            if not isinstance(levels[0], str | Number | np.bool_):
                kind = type(levels[0]).__name__
                raise ValueError(f"levels of column {name!r} must be strings or numbers to be written, got {kind}")
        return {
            "categorical": list(self.categorical_),
            "continuous": list(self.continuous_),
            "unseen": self.unseen,
            "categories": [list(map(_plain, levels)) for levels in self.categories_.values()],
            "frequencies": [frequency.tolist() for frequency in self._frequencies],
            "mean": self._scaler.mean_.tolist() if self.continuous_ else [],
            "scale": self._scaler.scale_.tolist() if self.continuous_ else [],
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the encoder that `to_dict` described, fitted.

        Parameters
        ----------
        state : dict

        Returns
        -------
        FieldEncoder

        Examples
        --------
        >>> encoder = FieldEncoder().fit(pd.DataFrame({"store": ["a", "b"], "price": [1.0, 3.0]}))
        >>> FieldEncoder.from_dict(encoder.to_dict()).transform(pd.DataFrame({"store": ["b"], "price": [5.0]}))
        array([[1., 3.]])
        """
        encoder = cls(state["categorical"], state["continuous"], state["unseen"])
        levels = [np.array(each, dtype=object) for each in state["categories"]]
        encoder.categorical_, encoder.continuous_ = state["categorical"], state["continuous"]
        encoder.feature_names_in_ = np.array([*encoder.categorical_, *encoder.continuous_], dtype=object)
        encoder.n_features_in_ = len(encoder.feature_names_in_)
        encoder._levels = encoder._scaler = None
        encoder.categories_ = dict(zip(encoder.categorical_, levels, strict=True))
        encoder._frequencies = [np.array(each) for each in state["frequencies"]]
        if levels:
            known = OrdinalEncoder(categories=levels, handle_unknown="use_encoded_value", unknown_value=-1)
            encoder._levels = known.fit(np.array([[each[0] for each in levels]], dtype=object))
        if encoder.continuous_:
            mean, scale = np.array(state["mean"]), np.array(state["scale"])
            encoder._scaler = StandardScaler().fit(mean[None])
            encoder._scaler.scale_ = scale
        return encoder

    def _fields(self, X):
        _require_frame(X)
        absent = [name for name in self.feature_names_in_ if name not in X.columns]
        if absent:
            raise ValueError(f"X has no columns {absent}; it has {list(X.columns)}")
        for name in self.feature_names_in_:
            if X[name].isna().any():
                missing = int(X[name].isna().sum())
                raise ValueError(f"column {name!r} of X has {missing} missing values; fill or drop them")
        try:
            continuous = X[self.continuous_].to_numpy(dtype=float)
        except (ValueError, TypeError) as error:
            raise ValueError(f"columns {self.continuous_} of X must be numeric: {error}") from error
        if not np.isfinite(continuous).all():
            bad = [name for name, column in zip(self.continuous_, continuous.T) if not np.isfinite(column).all()]
            raise ValueError(f"columns {bad} of X must be finite, got infinity")
        for name in self.categorical_:
            kinds = sorted({type(level).__name__ for level in X[name]})
            if len(kinds) > 1:
                raise ValueError(f"column {name!r} of X must hold levels of one type, got {kinds}")
        return X[self.categorical_].astype(object).to_numpy(), continuous

    def _handle_unseen(self, categories, codes):
        for name, column, code in zip(self.categorical_, categories.T, codes.T, strict=True):
            unseen = sorted({str(level) for level in column[code < 0]})
            if not unseen:
                continue
            message = f"column {name!r} of X has levels never seen in fit: {unseen[:5]}"
            if self.unseen == "raise":
                raise ValueError(message + "; FieldEncoder(unseen='other') would accept them")
            warnings.warn(message + "; treated as 'other'", UserWarning, stacklevel=4)


def choose_encoder(encoder: FieldEncoder | None, X: pd.DataFrame | ArrayLike) -> FieldEncoder | None:
    """Return the encoder that a model fits: a copy of the one given, or for named categories a new one, or none.

    Parameters
    ----------
    encoder : FieldEncoder or None
    X : data frame or array of shape (n_rows, n_columns)

    Returns
    -------
    FieldEncoder or None
        Not fitted; None for an array and for a data frame of numbers, which need none.

    Examples
    --------
    >>> choose_encoder(None, pd.DataFrame({"store": ["a"]})), choose_encoder(None, [[1.0]])
    (FieldEncoder(), None)
    """
    if encoder is not None:
        return clone(encoder)
    if isinstance(X, pd.DataFrame) and len(X.columns) > len(X.select_dtypes("number").columns):
        return FieldEncoder()
    return None


def _plain(level):
    """Python's own number or string."""
    return level.item() if isinstance(level, np.generic) else level


def _require_frame(X):
    if not isinstance(X, pd.DataFrame):
        raise ValueError(f"X must be a pandas data frame with named columns, got {type(X).__name__}")
    if X.empty:
        raise ValueError(f"X must have at least one row and one column, got shape {X.shape}")
