"""Data frames to arrays: categorical fields, continuous fields, and what to do with levels never seen."""

import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from numbers import Number, Real
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

MAX_DENSE = 20_000_000  # numbers in a design matrix up to which it is made dense
NUMERIC = ("number", "duration")
# What pandas finds in a column of objects.
INFERRED = dict.fromkeys(("integer", "floating", "decimal", "mixed-integer-float"), "number") | {
    "timedelta": "duration", "timedelta64": "duration", "complex": "complex",
} | dict.fromkeys(("datetime", "datetime64", "date", "time", "period"), "date")


class FieldEncoder(TransformerMixin, BaseEstimator):
    """Turn a data frame of sellers or products into a design matrix, or into field codes for a network.

    Parameters
    ----------
    categorical, continuous : list of str, optional
        Column names. By default the columns of strings, of booleans and of pandas's categories, and those of numbers
        and of durations. Durations count in days, however they are stored. Dates are neither: they are refused unless
        they are named as categorical.
    unseen : {"raise", "other"}
        A level that the fitted data did not have is refused with a ValueError, or warned about and treated as an
        "other" level: in the design matrix the average of the known levels, in the codes one code more.
    categories : dict of str to list, optional
        Levels that a categorical field may have, where they are known ahead. A row with any other level is refused;
        one that no fitted row has is an "other" level without a warning, so that the folds of a cross-validation may
        each lack some: ``FieldEncoder(categories={"store": sorted(set(X["store"]))})``.

    Attributes
    ----------
    categories_ : dict of str to array
        The levels of each categorical field that the fitted rows have, sorted.
    n_features_in_ : int
    feature_names_in_ : array of str
    n_design_columns_ : int

    Raises
    ------
    ValueError
        If the input is not a data frame, a column is missing, named twice or of a kind that is neither, or a field has
        missing or infinite values.

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
        categories: dict[str, list] | None = None,
    ):
        self.categorical = categorical
        self.continuous = continuous
        self.unseen = unseen
        self.categories = categories

    def fit(self, X: pd.DataFrame, y: ArrayLike | None = None) -> Self:
        """Learn the levels of each categorical field, their frequencies, and each continuous field's scale."""
        if self.unseen not in ("raise", "other"):
            raise ValueError(f"unseen must be 'raise' or 'other', got {self.unseen!r}")
        _require_frame(X)
        _refuse_twice(list(X.columns))
        categorical, continuous = _listed("categorical", self.categorical), _listed("continuous", self.continuous)
        ahead = _known_ahead(self.categories)
        named = [*(categorical or []), *(continuous or [])]
        _refuse_twice(named)
        kinds = {name: "level" if name in ahead else _kind(X[name]) for name in X.columns if name not in named}
        if categorical is None:
            categorical = [name for name, kind in kinds.items() if kind not in NUMERIC]
            _refuse_dates(categorical, kinds)
        if continuous is None:
            continuous = [name for name, kind in kinds.items() if kind in NUMERIC]
        no_field = [name for name in ahead if name not in categorical]
        if no_field:
            known = f"{some(no_field)}; they are {some(categorical)}"
            raise ValueError(f"categories must name categorical columns, got {known}")
        self.categorical_, self.continuous_ = categorical, continuous
        self.feature_names_in_ = np.array([*categorical, *continuous], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.durations_ = [name for name in continuous if name in X.columns and _kind(X[name]) == "duration"]
        categories, values = self._fields(X)
        self.categories_, self._frequencies, self._ahead = {}, [], ahead
        if categorical:
            levels = [np.fromiter(sorted(set(column)), dtype=object) for column in categories.T]
            self.categories_ = dict(zip(categorical, levels, strict=True))
            self._codes = [{level: code for code, level in enumerate(each)} for each in levels]
            for name, levels in ahead.items():
                others = [level for level in self.categories_[name] if level not in levels]
                if others:
                    raise ValueError(f"column {name!r} of X has levels that categories does not name: {some(others)}")
            codes = self._look_up(categories)
            self._frequencies = [np.bincount(column) / len(X) for column in codes.T]
        if continuous:
            scaler = StandardScaler().fit(values)
            self._mean, self._scale = scaler.mean_, scaler.scale_
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
        design = np.zeros((len(X), self.n_design_columns_))
        start = 0
        for column, frequency in zip(codes.T, self._frequencies, strict=True):
            block = design[:, start : start + len(frequency) - 1]
            has_own = (column > 0) & (column < len(frequency))  # the first level is zeros
            block[has_own, column[has_own] - 1] = 1
            # A level never seen is the average of those that were.
            block[column == len(frequency)] = frequency[1:]
            start += block.shape[1]
        design[:, start:] = continuous
        return design

    def transform_sparse(self, X: pd.DataFrame) -> sp.csr_array:
        """Return the design matrix of `transform` as a sparse one, for fields with thousands of levels.

        Parameters
        ----------
        X : pandas.DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        scipy.sparse.csr_array of shape (n_rows, n_features)
        """
        codes, continuous = self.transform_fields(X)
        blocks = []
        for column, frequency in zip(codes.T, self._frequencies, strict=True):
            n_levels = len(frequency)
            at = np.ones(len(X)), (np.arange(len(X)), column)
            with_other = sp.csr_array(at, shape=(len(X), n_levels + 1))
            table = sp.vstack([sp.eye_array(n_levels), sp.csr_array(frequency[None])], format="csr")
            blocks.append((with_other @ table)[:, 1:])
        return sp.hstack([*blocks, sp.csr_array(continuous)], format="csr")

    def multiply(self, X: pd.DataFrame, coef: np.ndarray) -> np.ndarray:
        """Return the design matrix times coefficients; where it would be large, it is not made.

        Parameters
        ----------
        X : pandas.DataFrame of shape (n_rows, n_columns)
        coef : array of shape (n_features, n_levels)
            A row for each column of the design matrix.

        Returns
        -------
        array of shape (n_rows, n_levels)
        """
        if not self.is_large(X):
            return self.transform(X) @ coef
        codes, continuous = self.transform_fields(X)
        product = continuous @ coef[self.n_design_columns_ - len(self.continuous_) :]
        start = 0
        for column, frequency in zip(codes.T, self._frequencies, strict=True):
            stop = start + len(frequency) - 1
            of_levels = np.vstack([np.zeros(coef.shape[1]), coef[start:stop], frequency[1:] @ coef[start:stop]])
            product += of_levels[column]
            start = stop
        return product

    def is_large(self, X: pd.DataFrame) -> bool:
        """Return whether the design matrix of `X` would have more than `MAX_DENSE` numbers."""
        return len(X) * self.n_design_columns_ > MAX_DENSE

    @property
    def n_design_columns_(self) -> int:
        """Columns of the design matrix."""
        return sum(len(levels) - 1 for levels in self.categories_.values()) + len(self.continuous_)

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
            codes = self._look_up(categories)
            self._handle_unseen(categories, codes)
            sizes = np.array([len(levels) for levels in self.categories_.values()])
            codes = np.where(codes < 0, sizes, codes)
        if self.continuous_:
            continuous = (continuous - self._mean) / self._scale
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
            "durations": list(self.durations_),
            "ahead": {name: list(map(_plain, levels)) for name, levels in self._ahead.items()},
            "categories": [list(map(_plain, levels)) for levels in self.categories_.values()],
            "frequencies": [frequency.tolist() for frequency in self._frequencies],
            "mean": self._mean.tolist() if self.continuous_ else [],
            "scale": self._scale.tolist() if self.continuous_ else [],
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
        categorical, continuous = list(state["categorical"]), list(state["continuous"])
        ahead = {name: list(levels) for name, levels in state.get("ahead", {}).items()}
        encoder = cls(categorical, continuous, state["unseen"], ahead or None)
        levels = [np.array(each, dtype=object) for each in state["categories"]]
        encoder.categorical_, encoder.continuous_ = list(categorical), list(continuous)
        encoder.durations_, encoder._ahead = list(state.get("durations", [])), _known_ahead(ahead)
        encoder.feature_names_in_ = np.array([*encoder.categorical_, *encoder.continuous_], dtype=object)
        encoder.n_features_in_ = len(encoder.feature_names_in_)
        encoder.categories_ = dict(zip(encoder.categorical_, levels, strict=True))
        encoder._codes = [{level: code for code, level in enumerate(each)} for each in levels]
        encoder._frequencies = [np.array(each) for each in state["frequencies"]]
        encoder._mean, encoder._scale = np.array(state["mean"]), np.array(state["scale"])
        return encoder

    def _fields(self, X):
        _require_frame(X)
        absent = [name for name in self.feature_names_in_ if name not in X.columns]
        if absent:
            raise ValueError(f"X has no columns {some(absent)}; it has {some(X.columns)}")
        used = set(self.feature_names_in_)
        _refuse_twice([name for name in X.columns if name in used])
        # Pandas takes its time for each look at a column: one row at the counter should not wait for many.
        columns = {name: X[name] for name in self.feature_names_in_}
        for name, column in columns.items():
            missing = int(pd.isna(column.array).sum())
            if missing:
                raise ValueError(f"column {name!r} of X has {missing} missing values; fill or drop them")
        continuous = np.empty((len(X), len(self.continuous_)), order="F")  # sums along columns keep their last bit
        for i, name in enumerate(self.continuous_):
            continuous[:, i] = self._numbers(name, columns[name])
        if not np.isfinite(continuous).all():
            bad = [name for name, column in zip(self.continuous_, continuous.T) if not np.isfinite(column).all()]
            raise ValueError(f"columns {some(bad)} of X must be finite, got infinity")
        categories = np.empty((len(X), len(self.categorical_)), dtype=object)
        for i, name in enumerate(self.categorical_):
            categories[:, i] = columns[name].astype(object).array
            kinds = sorted({type(level).__name__ for level in categories[:, i]})
            if len(kinds) > 1:
                raise ValueError(f"column {name!r} of X must hold levels of one type, got {some(kinds)}")
            if not isinstance(categories[0, i], Hashable):
                raise ValueError(f"column {name!r} of X must hold strings, numbers or other levels, got {kinds[0]}")
        return categories, continuous

    def _look_up(self, categories):
        """Codes of levels, -1 where they are not known."""
        found = [[codes.get(level, -1) for level in column] for codes, column in zip(self._codes, categories.T)]
        return np.array(found, dtype=int).T

    def _numbers(self, name, column):
        """Return a continuous field as floats, durations in days."""
        kind, wanted = _kind(column), "duration" if name in self.durations_ else "number"
        _refuse_dates([name], {name: kind})
        if kind in NUMERIC and kind != wanted:
            raise ValueError(f"column {name!r} of X must hold {wanted}s as in fit, got {kind}s")
        if kind == "duration":
            return _days(column)
        try:
            if kind == "other":
                raise TypeError(f"its values are {some(sorted({type(value).__name__ for value in column}))}")
            return column.to_numpy(dtype=float)
        except (ValueError, TypeError) as error:
            raise ValueError(f"columns {some([name])} of X must be numeric: {error}") from error

    def _handle_unseen(self, categories, codes):
        for name, column, code in zip(self.categorical_, categories.T, codes.T, strict=True):
            known = self._ahead.get(name, ())
            unseen = sorted({str(level) for level in column[code < 0] if level not in known})
            if not unseen:
                continue
            message = f"column {name!r} of X has levels never seen in fit: {some(unseen)}"
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

    Raises
    ------
    ValueError
        If columns have names of several levels, or an array holds durations or dates.

    Examples
    --------
    >>> choose_encoder(None, pd.DataFrame({"store": ["a"]})), choose_encoder(None, [[1.0]])
    (FieldEncoder(), None)
    """
    if isinstance(X, pd.DataFrame):
        _refuse_nested(X)
        plain = all(_kind(X.iloc[:, i]) == "number" for i in range(X.shape[1]))
    else:
        plain = True
        check_unitless("X", X)
    return clone(encoder) if encoder is not None else None if plain else FieldEncoder()


def fit_design(
    encoder: FieldEncoder | None, X: pd.DataFrame | ArrayLike, may_be_sparse: bool = False
) -> tuple[FieldEncoder | None, Any]:
    """Return the encoder of a model, fitted, and what its regression or network takes in the place of `X`.

    Parameters
    ----------
    encoder : FieldEncoder or None
        As in `choose_encoder`.
    X : data frame or array of shape (n_rows, n_columns)
    may_be_sparse : bool
        Whether a design matrix of more than `MAX_DENSE` numbers comes as a sparse one.

    Returns
    -------
    encoder : FieldEncoder or None
    design : array, sparse array or data frame of shape (n_rows, n_features)
        Without an encoder `X` itself.

    Raises
    ------
    ValueError
        As `FieldEncoder`, or if no column of `X` varies and so the design matrix has none.

    Examples
    --------
    >>> encoder, design = fit_design(None, pd.DataFrame({"store": ["a", "b"], "price": [1.0, 3.0]}))
    >>> design
    array([[ 0., -1.],
           [ 1.,  1.]])
    """
    encoder = choose_encoder(encoder, X)
    if encoder is None:
        return None, X
    check_varies(encoder.fit(X))
    return encoder, encoder.transform_sparse(X) if may_be_sparse and encoder.is_large(X) else encoder.transform(X)


def check_varies(encoder: FieldEncoder) -> None:
    """Refuse data of which no design matrix can be made, since every field has one level.

    Parameters
    ----------
    encoder : FieldEncoder
        Fitted.

    Raises
    ------
    ValueError
        If the design matrix has no column.

    Examples
    --------
    >>> check_varies(FieldEncoder().fit(pd.DataFrame({"store": ["a", "b"]})))
    """
    if not encoder.n_design_columns_:
        names = some(encoder.categorical_)
        raise ValueError(f"X must have a column that varies, got one level in each of its columns {names}")


def check_unitless(name: str, values: ArrayLike) -> ArrayLike:
    """Return values, refusing durations and dates: as numbers they depend on the unit that they are stored in.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    values : array or data frame

    Returns
    -------
    The values as they came.

    Raises
    ------
    ValueError
        If they are durations or dates.

    Examples
    --------
    >>> check_unitless("y", [1.0, 2.0])
    [1.0, 2.0]
    """
    if isinstance(values, pd.DataFrame):
        for i, column in enumerate(values.columns):
            check_unitless(f"column {column!r} of {name}", values.iloc[:, i])
    elif not sp.issparse(values):
        column = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values).ravel())
        kind = _kind(column)
        if kind == "duration":
            raise ValueError(f"{name} must be numbers, got durations: divide by a unit, such as pd.Timedelta(days=1)")
        if kind == "date":
            raise ValueError(f"{name} must be numbers, got dates: make numbers of them, such as days since the first")
    return values


def to_frame(X: pd.DataFrame | np.ndarray) -> pd.DataFrame:
    """Return a data frame as it is, and an array as one whose columns are named x0, x1, ...

    Parameters
    ----------
    X : data frame or array of shape (n_rows, n_columns)

    Returns
    -------
    pandas.DataFrame

    Examples
    --------
    >>> list(to_frame(np.ones((1, 2))))
    ['x0', 'x1']
    """
    return X if isinstance(X, pd.DataFrame) else pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])


def some(names: Iterable) -> str:
    """Return the first five of a list, and how many more there are, for a message.

    Parameters
    ----------
    names : iterable

    Returns
    -------
    str

    Examples
    --------
    >>> some("abc"), some(range(304))
    ("['a', 'b', 'c']", '[0, 1, 2, 3, 4] and 299 more')
    """
    names = [_plain(name) for name in names]
    return f"{names[:5]}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _kind(column):
    """Return what a column holds: numbers, durations, dates, levels, or others, which may be levels if named so."""
    kind = "O" if isinstance(column.dtype, pd.PeriodDtype) else getattr(column.dtype, "kind", "O")
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "level"
    if kind != "O":
        return {"m": "duration", "M": "date", "b": "level", "c": "complex"}.get(kind, "number")
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in ("mixed", "mixed-integer") and all(isinstance(value, Real | Decimal) for value in column):
        return "other" if any(isinstance(value, bool | np.bool_) for value in column) else "number"
    return INFERRED.get(inferred, "level" if inferred in ("string", "boolean", "bytes", "empty") else "other")


def _days(column):
    """Return durations in days, from whole days, seconds and so on, so that equal durations are equal numbers."""
    stored = column if isinstance(column.dtype, np.dtype) and column.dtype.kind == "m" else column.astype(object)
    parts = pd.to_timedelta(stored).dt
    seconds = parts.seconds + (parts.microseconds + parts.nanoseconds / 1e3) / 1e6
    return (parts.days + seconds / 86_400).to_numpy(dtype=float)


def _listed(name, columns):
    """Return a list of column names of one's own."""
    if isinstance(columns, str):
        raise ValueError(f"{name} must be a list of column names, got the string {columns!r}: [{columns!r}]?")
    return None if columns is None else list(columns)


def _known_ahead(categories):
    if not (categories is None or isinstance(categories, Mapping)):
        raise ValueError(f"categories must be a dict of column names and levels, got {type(categories).__name__}")
    return {name: frozenset(_listed(f"categories[{name!r}]", levels)) for name, levels in (categories or {}).items()}


def _plain(level):
    """Python's own number or string."""
    return level.item() if isinstance(level, np.generic) else level


def _require_frame(X):
    if not isinstance(X, pd.DataFrame):
        raise ValueError(f"X must be a pandas data frame with named columns, got {type(X).__name__}")
    if X.empty:
        raise ValueError(f"X must have at least one row and one column, got shape {X.shape}")
    _refuse_nested(X)


def _refuse_nested(X):
    if X.columns.nlevels > 1:
        advice = "join them, as in X.columns = X.columns.map('_'.join)"
        raise ValueError(f"X must have column names of one level, got {X.columns.nlevels}, {some(X.columns)}: {advice}")


def _refuse_twice(names):
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"each column of X must be named once, got {some(twice)} more than once")


def _refuse_dates(names, kinds):
    """Refuse columns that are neither numbers nor levels unless somebody says so."""
    dates = [name for name in names if kinds.get(name) == "date"]
    if dates:
        raise ValueError(
            f"columns {some(dates)} of X hold dates, which are neither numbers nor levels: make numbers of them, such "
            "as days since the first, or name them in FieldEncoder(categorical=...)"
        )
    unreal = [name for name in names if kinds.get(name) == "complex"]
    if unreal:
        raise ValueError(f"columns {some(unreal)} of X must be real, got complex numbers")
