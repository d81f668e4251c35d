r"""Whether a promise was kept, in time: vintages, promised against observed, and the tests of a risk department.

A vintage is the loans that are granted at one origin by a model that was fitted to what was known there. Whether they
default is seen a horizon later. Loans of one origin share its surprises and loans of one seller their seller, so that
their number says little about how much was seen: errors are clustered. Chapters 15 and 16.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import xlog1py, xlogy

from qrgmm.checks import Rng, check_count, check_flags, check_level, check_sample, check_span
from qrgmm.curve import QuantileCurve
from qrgmm.loss import pinball_loss

ZONES = 0.95, 0.9999  # of the Basel committee: where yellow begins, and red


class Vintage(NamedTuple):
    """Rows to learn from and rows to be judged on, by position, at one origin.

    Attributes
    ----------
    origin : pandas.Timestamp
    train, test : array of int
    """

    origin: pd.Timestamp
    train: np.ndarray
    test: np.ndarray


class BacktestResult(NamedTuple):
    """A statistic and the probability of one as large where the promise is kept.

    Attributes
    ----------
    statistic, p_value : float
    """

    statistic: float
    p_value: float


def split_vintages(
    origins: ArrayLike,
    horizon: str | pd.Timedelta = "90D",
    window: str | pd.Timedelta | None = None,
    min_origins: int = 1,
    delay: str | pd.Timedelta = "0D",
) -> list[Vintage]:
    """Return a vintage per origin: its rows, and the earlier rows whose outcomes were known at it.

    An outcome is known when its horizon, and the delay, have passed: a row of origin `s` may teach at origin `t` if
    ``s + horizon + delay <= t``. Rows in between are purged: their outcomes overlap those to be foretold.

    Parameters
    ----------
    origins : array of datetimes of shape (n_rows,)
        Of each row of a panel.
    horizon : str or pandas.Timedelta
    window : str or pandas.Timedelta, optional
        How far back an origin may lie to teach: a rolling window. By default all do: an expanding window.
    min_origins : int
        Origins with fewer origins to learn from are left out.
    delay : str or pandas.Timedelta
        Between the end of a horizon and the day on which its outcome is in the books.

    Returns
    -------
    list of Vintage
        In order of time.

    Raises
    ------
    ValueError
        If an origin is missing, the horizon is not positive, or no origin has enough to learn from.

    Examples
    --------
    >>> origins = pd.date_range("2024-01-01", periods=5, freq="MS")
    >>> [(f"{vintage.origin:%b}", vintage.train.tolist(), vintage.test.tolist())
    ...  for vintage in split_vintages(origins, "60D")]
    [('Mar', [0], [2]), ('Apr', [0, 1], [3]), ('May', [0, 1, 2], [4])]
    """
    min_origins, moments = check_count("min_origins", min_origins), _check_moments("origins", origins)
    known = moments + check_span("horizon", horizon) + check_span("delay", delay, or_zero=True)
    vintages = []
    for origin in moments.unique().sort_values():
        may_teach = known <= origin
        if window is not None:
            may_teach &= moments >= origin - check_span("window", window)
        if moments[may_teach].nunique() >= min_origins:
            vintages.append(Vintage(origin, np.flatnonzero(may_teach), np.flatnonzero(moments == origin)))
    if not vintages:
        got = f"got {moments.nunique()} from {moments.min():%Y-%m-%d} to {moments.max():%Y-%m-%d}"
        raise ValueError(f"origins must reach {min_origins} beyond a horizon of {horizon}, {got}")
    return vintages


def require_purged(train_origins: ArrayLike, test_origins: ArrayLike, horizon: str | pd.Timedelta = "90D") -> None:
    """Refuse a split in which an outcome to learn from was not known at the first origin to be judged on.

    Parameters
    ----------
    train_origins, test_origins : array of datetimes
        Of the rows on either side.
    horizon : str or pandas.Timedelta

    Raises
    ------
    ValueError
        If an outcome overlaps.

    Examples
    --------
    >>> require_purged(["2024-01-01"], ["2024-04-01"])
    >>> try:
    ...     require_purged(["2024-01-01", "2024-02-01"], ["2024-04-01"])
    ... except ValueError as error:
    ...     print(error)
    outcomes to learn from must end by 2024-04-01, got 1 of 2 that end later, the last on 2024-05-01
    """
    ends = _check_moments("train_origins", train_origins) + check_span("horizon", horizon)
    first = _check_moments("test_origins", test_origins).min()
    late = ends > first
    if late.any():
        got = f"got {late.sum()} of {len(ends)} that end later, the last on {ends.max():%Y-%m-%d}"
        raise ValueError(f"outcomes to learn from must end by {first:%Y-%m-%d}, {got}")


def clustered_error(values: ArrayLike, clusters: pd.DataFrame | ArrayLike | None = None) -> tuple[float, int]:
    r"""Return the standard error of a mean whose values depend on each other within clusters, and degrees of freedom.

    One way, with :math:`e` the deviations from the mean and :math:`G` clusters:
    :math:`V = \frac{G}{G-1} \frac{1}{n^2} \sum_g (\sum_{i \in g} e_i)^2`; two ways: :math:`V_1 + V_2 - V_{12}`, or the
    larger of the two where that is smaller, which happens with few clusters.

    Parameters
    ----------
    values : array of shape (n,)
    clusters : array or DataFrame of shape (n,), (n, 1) or (n, 2), optional
        One or two labels of each value, of its seller and its origin for example; by default all are independent.

    Returns
    -------
    error : float
        NaN where there is one cluster.
    degrees : int
        One less than the smaller number of clusters, for Student's law.

    Raises
    ------
    ValueError
        If the clusters are of another length, miss a label, or are more than two.

    Notes
    -----
    Cameron, Gelbach and Miller (2011), "Robust inference with multiway clustering". Outcomes of neighbouring origins
    overlap where a horizon is longer than the time between them; clusters of origins are independent only if they are a
    horizon apart or coarser, quarters for example.

    Examples
    --------
    >>> clustered_error([1.0, 2.0, 3.0])  # s / sqrt(n)
    (0.5773502691896257, 2)
    >>> clustered_error([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"])
    (1.0, 1)
    """
    values = check_sample("values", values)
    labels = _check_clusters(clusters, len(values))
    sets = [*labels, labels[0] * (labels[1].max() + 1) + labels[1]] if len(labels) == 2 else labels
    deviations = values - values.mean()
    variances, sizes = [], []
    for codes in sets:
        codes = pd.factorize(codes)[0]
        sizes.append(n_clusters := codes.max() + 1)
        sums = np.bincount(codes, deviations)
        with np.errstate(invalid="ignore"):
            variances.append(np.float64(n_clusters) / (n_clusters - 1) * (sums @ sums) / len(values) ** 2
                             if n_clusters > 1 else np.nan)  # fmt: skip
    variance = variances[0]
    if len(labels) == 2:
        variance = max(variances[0] + variances[1] - variances[2], variances[0], variances[1])
    return float(np.sqrt(variance)), int(min(sizes[: len(labels)]) - 1)


def compare_promises(
    promised: ArrayLike,
    observed: ArrayLike,
    by: ArrayLike | None = None,
    clusters: pd.DataFrame | ArrayLike | None = None,
) -> pd.DataFrame:
    """Return what was promised on average beside what came, with clustered errors: in all, or group by group.

    Parameters
    ----------
    promised : float or array of shape (n_rows,)
        Default probabilities, or expected losses in currency.
    observed : array of shape (n_rows,)
        Whether each loan defaulted, or what was lost.
    by : array of shape (n_rows,), optional
        Grades, origins, states, `pandas.qcut` of a covariate: anything to group by.
    clusters : array or DataFrame, optional
        See `clustered_error`.

    Returns
    -------
    pandas.DataFrame
        A row per group with `n`, `promised`, `observed`, `difference` (observed less promised), its standard `error`,
        and the two-sided `p_value` by Student's law.

    Raises
    ------
    ValueError
        If lengths differ or values are missing.

    Notes
    -----
    Power. Nine vintages of 600 loans promise 20 %, and 25 % default. Clustered by origin, a test at 5 % always sees it
    where loans are independent, with probability 0.74 where they share a factor with a loading of 0.15, which is what
    chapter 16 measures, and with 0.22 where the loading is 0.3; where 22 % default, with 0.87, 0.16 and 0.06.

    Examples
    --------
    >>> table = compare_promises(0.1, [0, 0, 1, 0, 1, 0], by=list("aaabbb"))
    >>> table[["n", "promised", "observed", "error"]].round(3)
       n  promised  observed  error
    a  3       0.1     0.333  0.333
    b  3       0.1     0.333  0.333
    """
    observed = check_sample("observed", observed)
    promised = _per_row("promised", promised, len(observed))
    labels = _check_clusters(clusters, len(observed))
    groups = pd.Series("all", range(len(observed))) if by is None else pd.Series(np.asarray(by))
    if isinstance(by, pd.Series):  # with the order of its categories
        groups = by.reset_index(drop=True)
    if len(groups) != len(observed) or groups.isna().any():
        raise ValueError(f"by must have a group for each of {len(observed)} rows, got {groups.notna().sum()}")
    rows = {}
    for group, members in groups.groupby(groups, observed=True).groups.items():
        here = members.to_numpy()
        difference = observed[here] - promised[here]
        error, degrees = clustered_error(difference, np.column_stack([codes[here] for codes in labels]))
        with np.errstate(divide="ignore", invalid="ignore"):
            p_value = 2 * stats.t.sf(abs(difference.mean() / np.float64(error)), degrees) if degrees else np.nan
        means = promised[here].mean(), observed[here].mean(), difference.mean()
        rows[group] = [len(here), *means, error, float(p_value)]
    columns = ["n", "promised", "observed", "difference", "error", "p_value"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def binomial_test(n_defaults: ArrayLike, n_loans: ArrayLike, probability: ArrayLike) -> np.ndarray:
    r"""Return the probability of so many defaults or more where each loan defaults with `probability`, independently.

    .. math:: P(N \ge k), \qquad N \sim \mathrm{Binomial}(n, p)

    Parameters
    ----------
    n_defaults, n_loans : int or array
    probability : float or array
        As promised.

    Returns
    -------
    array or float

    Raises
    ------
    ValueError
        If there are more defaults than loans, or a probability lies outside (0, 1).

    Notes
    -----
    One-sided: too few defaults are no alarm here. Defaults that share a shock are not independent, and then this test
    raises many false alarms; `compare_promises` with clusters doesn't.

    Examples
    --------
    >>> round(float(binomial_test(2, 2, 0.1)), 4)
    0.01
    """
    k, n, p = _check_counts(n_defaults, n_loans, probability)
    return stats.binom.sf(k - 1, n, p)


def traffic_light(n_defaults: ArrayLike, n_loans: ArrayLike, probability: ArrayLike) -> np.ndarray:
    """Return the zone of the Basel committee: green, or yellow or red where a good model seldom has so many defaults.

    Parameters
    ----------
    n_defaults, n_loans : int or array
    probability : float or array
        As promised.

    Returns
    -------
    array of str

    Raises
    ------
    ValueError
        As `binomial_test`.

    Notes
    -----
    Basel Committee (1996), "Supervisory framework for the use of backtesting": so many defaults are yellow from where
    so many or fewer have a probability of 95 %, and red from 99.99 %.

    Examples
    --------
    >>> traffic_light([4, 5, 9, 10], 250, 0.01).tolist()  # the table of the committee
    ['green', 'yellow', 'yellow', 'red']
    """
    k, n, p = _check_counts(n_defaults, n_loans, probability)
    return np.array(["green", "yellow", "red"])[np.searchsorted(ZONES, stats.binom.cdf(k, n, p), side="right")]


def kupiec_test(hits: ArrayLike, probability: float) -> BacktestResult:
    r"""Test by likelihood ratio whether the share of hits is the promised one, too few being as bad as too many.

    .. math:: 2 \log \frac{(1-\hat\pi)^{n-x} \hat\pi^x}{(1-p)^{n-x} p^x} \to \chi^2_1, \qquad \hat\pi = x / n

    Parameters
    ----------
    hits : array of bool of shape (n,)
        Whether each loan defaulted, or each loss went beyond its value at risk.
    probability : float

    Returns
    -------
    BacktestResult

    Notes
    -----
    Kupiec (1995). The law of the statistic holds for many independent hits.

    Examples
    --------
    >>> round(kupiec_test([1] * 10 + [0] * 90, 0.05).p_value, 3)
    0.042
    """
    hits, p = check_flags("hits", check_sample("hits", hits)), check_level("probability", probability)
    return _chi_square(_log_ratio(hits.sum(), len(hits), p), 1)


def christoffersen_test(
    hits: ArrayLike, probability: float, series: ArrayLike | None = None
) -> tuple[BacktestResult, BacktestResult]:
    r"""Test whether hits follow on hits, and whether both that and their share are as promised.

    From the numbers of steps :math:`n_{ij}` from :math:`i` to :math:`j`, with :math:`\hat\pi_{i}` the share of steps
    from :math:`i` that lead to a hit and :math:`\hat\pi` that of all: independence compares :math:`\hat\pi_0,
    \hat\pi_1` with :math:`\hat\pi`, conditional coverage with the promise.

    Parameters
    ----------
    hits : array of bool of shape (n,)
        In order of time.
    probability : float
    series : array of shape (n,), optional
        Sellers for example: steps are counted within each and added up.

    Returns
    -------
    independence, conditional_coverage : BacktestResult
        By :math:`\chi^2_1` and :math:`\chi^2_2`.

    Raises
    ------
    ValueError
        If no series has two hits or misses.

    Notes
    -----
    Christoffersen (1998), "Evaluating interval forecasts", given the first of each series.

    Examples
    --------
    >>> independence, coverage = christoffersen_test([0, 0, 0, 0, 1, 1, 0, 0, 0, 0] * 5, 0.2)
    >>> round(independence.p_value, 3), round(coverage.p_value, 3)
    (0.016, 0.053)
    """
    hits, p = check_flags("hits", check_sample("hits", hits)), check_level("probability", probability)
    if series is not None:
        (codes,) = _check_clusters(series, len(hits))
        order = np.argsort(codes, kind="stable")
        hits, same = hits[order], np.diff(codes[order]) == 0
    else:
        same = np.ones(len(hits) - 1, dtype=bool)
    before, now = hits[:-1][same], hits[1:][same]
    if len(now) == 0:
        raise ValueError(f"hits must follow on each other in some series, got {len(hits)} of as many series")
    n_hits, n_steps = now.sum(), len(now)
    free = sum(_log_likelihood(now[before == state].sum(), (before == state).sum()) for state in (False, True))
    pooled, promised = _log_likelihood(n_hits, n_steps), _log_likelihood(n_hits, n_steps, p)
    return _chi_square(2 * (free - pooled), 1), _chi_square(2 * (free - promised), 2)


def probability_transform(y: ArrayLike, curve: QuantileCurve, rng: Rng = None) -> np.ndarray:
    r"""Return the level at which each observation lies in its law; uniform where the laws are true.

    At an atom, such as no sales at all, the level is drawn between the two sides of the jump:
    :math:`F(y^-) + V (F(y) - F(y^-))`.

    Parameters
    ----------
    y : array of shape (n_rows,)
    curve : QuantileCurve
        One law per observation.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    array of shape (n_rows,), in [0, 1]

    Examples
    --------
    >>> curve = QuantileCurve.from_draws([[0.0, 0.0, 1.0, 2.0]] * 2)
    >>> probability_transform([0.0, 5.0], curve, rng=0).round(2).tolist()
    [0.32, 1.0]
    """
    y = check_sample("y", y)
    if len(curve) != len(y):
        raise ValueError(f"curve must have one law for each of {len(y)} observations, got {len(curve)}")
    at_most, below = curve.cdf(y[:, None])[:, 0], curve.cdf(np.nextafter(y, -np.inf)[:, None])[:, 0]
    return below + np.random.default_rng(rng).random(len(y)) * (at_most - below)


def transform_outcomes(curve: QuantileCurve, y: ArrayLike, rng: Rng = None) -> np.ndarray:
    r"""Return where in its law each outcome fell: uniform in [0, 1] if the laws are right.

    .. math:: u_i = P(Y < y_i) + V_i\, P(Y = y_i), \qquad V_i \sim U(0, 1)

    Parameters
    ----------
    curve : QuantileCurve
        With n_rows rows.
    y : array of shape (n_rows,)
    rng : numpy.random.Generator, int or None
        Of :math:`V`, which matters where a law has atoms, on 0 for example.

    Returns
    -------
    array of shape (n_rows,)

    Raises
    ------
    ValueError
        If there is not one outcome per law.

    Notes
    -----
    The probability integral transform, randomised: Smith (1985), "Diagnostic checks of non-standard time series
    models".

    Examples
    --------
    >>> transform_outcomes(QuantileCurve([0.25, 0.75], [[10.0, 30.0]]), [20.0])
    array([0.5])
    """
    y = _per_row("y", check_sample("y", y), len(curve))
    below, up_to = curve.lower_partial_moment(y[:, None], 0)[:, 0], curve.cdf(y[:, None])[:, 0]
    return below + np.random.default_rng(rng).random(len(y)) * (up_to - below)


def uniformity_test(
    levels: ArrayLike, n_bins: int = 10, clusters: pd.DataFrame | ArrayLike | None = None
) -> BacktestResult:
    r"""Test whether levels of observations are uniform, by the shares in equal bins.

    Without clusters Pearson's :math:`\chi^2`; with clusters of one kind Wald's statistic with the covariance of the
    clusters' sums, by Hotelling's law.

    Parameters
    ----------
    levels : array of shape (n,), in [0, 1]
        As `probability_transform` returns them.
    n_bins : int
        At least 2.
    clusters : array of shape (n,), optional
        Of origins or of sellers, whichever depend more; there must be more of them than bins.

    Returns
    -------
    BacktestResult

    Raises
    ------
    ValueError
        If a level lies outside [0, 1], or there are too few clusters.

    Examples
    --------
    >>> uniformity_test(np.linspace(0, 1, 101)[:-1] + 0.005)
    BacktestResult(statistic=0.0, p_value=1.0)
    """
    levels, n_bins = check_sample("levels", levels), check_count("n_bins", n_bins, least=2)
    if (levels < 0).any() or (levels > 1).any():
        raise ValueError(f"levels must lie in [0, 1], got {levels.min():g} to {levels.max():g}")
    bins = np.minimum((levels * n_bins).astype(int), n_bins - 1)
    if clusters is None:
        result = stats.chisquare(np.bincount(bins, minlength=n_bins))
        return BacktestResult(float(result.statistic), float(result.pvalue))
    (codes,) = _check_clusters(clusters, len(levels))
    n_clusters, free = codes.max() + 1, n_bins - 1
    if n_clusters <= n_bins:
        raise ValueError(f"clusters must be more than the {n_bins} bins, got {n_clusters}")
    excess = np.zeros((n_clusters, n_bins))
    np.add.at(excess, (codes, bins), 1.0)
    excess = (excess - excess.sum(axis=1, keepdims=True) / n_bins)[:, :free]  # beyond what is expected of the cluster
    mean = excess.mean(axis=0)
    statistic = n_clusters * mean @ np.linalg.pinv(np.cov(excess, rowvar=False).reshape(free, free)) @ mean
    scale = (n_clusters - free) / (free * (n_clusters - 1))
    return BacktestResult(float(statistic), float(stats.f.sf(scale * statistic, free, n_clusters - free)))


def hosmer_lemeshow_test(promised: ArrayLike, defaulted: ArrayLike, grades: ArrayLike | int = 10) -> BacktestResult:
    r"""Test whether in every grade as many loans defaulted as were promised to.

    .. math:: \sum_g \frac{(O_g - E_g)^2}{\sum_{i \in g} p_i (1 - p_i)} \to \chi^2_G

    Parameters
    ----------
    promised : array of shape (n_rows,)
        Default probabilities of loans that the model has not seen: no degrees of freedom are lost.
    defaulted : array of bool of shape (n_rows,)
    grades : int or array of shape (n_rows,)
        How many grades of equal size are made of the promises, or the grade of each loan.

    Returns
    -------
    BacktestResult

    Raises
    ------
    ValueError
        If lengths differ, or a grade promises that nothing or that everything defaults.

    Notes
    -----
    Hosmer and Lemeshow (1980), with the variance of loans that differ within a grade. Independent defaults.

    Examples
    --------
    >>> result = hosmer_lemeshow_test([0.1] * 100 + [0.3] * 100, [1] * 10 + [0] * 90 + [1] * 50 + [0] * 50, grades=2)
    >>> round(result.statistic, 2)  # 20^2 / (100 * 0.3 * 0.7)
    19.05
    """
    defaulted = check_flags("defaulted", check_sample("defaulted", defaulted))
    promised = _per_row("promised", promised, len(defaulted))
    if isinstance(grades, int | np.integer):
        ranks = stats.rankdata(promised) / len(promised)
        labels = pd.factorize(np.ceil(ranks * check_count("grades", int(grades))))[0]
    else:
        (labels,) = _check_clusters(grades, len(defaulted))
    expected, variance = (np.bincount(labels, weights) for weights in (promised, promised * (1 - promised)))
    if not (variance > 0).all():
        raise ValueError("promised must lie inside (0, 1) for some loan of every grade")
    excess = np.bincount(labels, defaulted.astype(float)) - expected
    return _chi_square((excess**2 / variance).sum(), len(variance))


def population_stability_index(reference: ArrayLike, current: ArrayLike, n_bins: int = 10) -> float:
    r"""Return how far a covariate has moved from those whom a model was fitted to.

    .. math:: \sum_b (c_b - r_b) \log \frac{c_b}{r_b}

    Parameters
    ----------
    reference, current : array
        Numbers, which are binned by the quantiles of the reference, or labels, each a bin.
    n_bins : int
        At least 2.

    Returns
    -------
    float
        By custom less than 0.1 is small and more than 0.25 large. Half an observation is added to each bin, so that an
        empty one counts and doesn't count without bound.

    Raises
    ------
    ValueError
        If either is empty or has missing values.

    Examples
    --------
    >>> round(population_stability_index(["a"] * 50 + ["b"] * 50, ["a"] * 80 + ["b"] * 20), 2)  # 0.3 log(1.6 / 0.4)
    0.41
    """
    samples = [pd.Series(np.asarray(values)) for values in (reference, current)]
    for name, values in zip(("reference", "current"), samples):
        if len(values) == 0 or values.isna().any():
            raise ValueError(
                f"{name} must have values and no missing ones, got {values.notna().sum()} of {len(values)}"
            )
    if all(pd.api.types.is_numeric_dtype(values) for values in samples):
        inner = np.arange(1, check_count("n_bins", n_bins, least=2)) / n_bins
        edges = np.unique(np.quantile(samples[0], inner))
        counts = [np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) for values in samples]
    else:
        names = pd.unique(pd.concat(samples))
        counts = [values.value_counts().reindex(names, fill_value=0).to_numpy() for values in samples]
    first, second = ((count + 0.5) / (count + 0.5).sum() for count in counts)
    return float(((second - first) * np.log(second / first)).sum())


def cost_of_error(loans: ArrayLike, revenue: ArrayLike, margin: float) -> pd.DataFrame:
    r"""Return what each loan cost against the best one in hindsight, in currency.

    A loan :math:`l` earns the margin :math:`m l` and loses the shortfall :math:`(l - R)^+` of the revenue. In
    hindsight the best loan is the revenue itself, and the distance to what it earns is the pinball loss at level
    :math:`m`:

    .. math:: m R - \bigl(m l - (l - R)^+\bigr) = m (R - l)^+ + (1 - m) (l - R)^+ = \rho_m(R - l)

    so that the best loan is the :math:`m`-quantile of the revenue, and a model with better quantiles earns more.

    Parameters
    ----------
    loans, revenue : array of shape (n_rows,)
        In currency: what was lent, and what the seller's sales brought over the horizon.
    margin : float
        What a loan earns of itself over the horizon, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        `forgone` on loans too small, `lost` on loans too large, and `cost`, their sum.

    Raises
    ------
    ValueError
        If lengths differ, a value is negative or missing, or the margin lies outside (0, 1).

    Examples
    --------
    >>> cost_of_error([80.0, 120.0], [100.0, 100.0], 0.1)
       forgone  lost  cost
    0      2.0   0.0   2.0
    1      0.0  18.0  18.0
    """
    loans, margin = check_sample("loans", loans), check_level("margin", margin)
    revenue = _per_row("revenue", revenue, len(loans))
    for name, values in (("loans", loans), ("revenue", revenue)):
        if (values < 0).any():
            raise ValueError(f"{name} must be at least 0, got {values.min():g}")
    cost = pinball_loss(revenue, loans, margin)
    small = revenue > loans
    return pd.DataFrame({"forgone": np.where(small, cost, 0.0), "lost": np.where(small, 0.0, cost), "cost": cost})


def _check_moments(name, moments):
    moments = pd.DatetimeIndex(moments)
    if len(moments) == 0 or moments.hasnans:
        raise ValueError(f"{name} must be days, none of them missing, got {moments.notna().sum()} of {len(moments)}")
    return moments


def _check_clusters(clusters, n_rows):
    """Codes of one or two kinds of clusters; without any, each row is its own."""
    if clusters is None:
        return [np.arange(n_rows)]
    table = pd.DataFrame(clusters).reset_index(drop=True)
    if len(table) != n_rows or table.shape[1] not in (1, 2) or table.isna().any(axis=None):
        raise ValueError(
            f"clusters must be one or two labels of each of {n_rows} rows, got {table.shape}, or some missing"
        )
    return [pd.factorize(table[name])[0] for name in table]


def _per_row(name: str, values: ArrayLike, n_rows: int) -> np.ndarray:
    values = check_sample(name, np.full(n_rows, values, dtype=float) if np.ndim(values) == 0 else values)
    if len(values) != n_rows:
        raise ValueError(f"{name} must have a value for each of {n_rows} rows, got {len(values)}")
    return values


def _check_counts(n_defaults, n_loans, probability):
    k, n, p = np.broadcast_arrays(n_defaults, n_loans, np.asarray(probability, dtype=float))
    if not ((k >= 0) & (k <= n)).all() or not ((p > 0) & (p < 1)).all():
        got = f"got {n_defaults!r} of {n_loans!r} at {probability!r}"
        raise ValueError(f"n_defaults must lie in 0 to n_loans and probability inside (0, 1), {got}")
    return k, n, p


def _log_likelihood(n_hits, n, probability=None):
    p = n_hits / max(n, 1) if probability is None else probability
    return xlogy(n_hits, p) + xlog1py(n - n_hits, -p)


def _log_ratio(n_hits, n, probability):
    return 2 * (_log_likelihood(n_hits, n) - _log_likelihood(n_hits, n, probability))


def _chi_square(statistic, degrees):
    statistic = max(float(statistic), 0.0)  # rounding
    return BacktestResult(statistic, float(stats.chi2.sf(statistic, degrees)))
