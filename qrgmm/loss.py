r"""The pinball loss, one expression for NumPy and torch.

Quantile regression is least squares with another loss: the number that minimises the mean pinball loss at level
:math:`\tau` is the :math:`\tau`-quantile. Chapter 3 derives it; the DeepFM networks minimise the same expression.
"""

from typing import Any

Array = Any  # of NumPy or a tensor of torch: the arithmetic below is the same


def pinball_loss(y: Array, quantile: Array, tau: float | Array) -> Array:
    r"""Return the pinball (check) loss of each prediction.

    .. math:: \rho_\tau(e) = e\,(\tau - 1\{e < 0\}) = \tau e + (-e)^+, \qquad e = y - q

    Under-prediction costs :math:`\tau` a unit, over-prediction :math:`1 - \tau`.

    Parameters
    ----------
    y : array or tensor
        Observed sales, in any shape that broadcasts with `quantile`, for example (n_rows, 1).
    quantile : array or tensor
        Predicted `tau`-quantiles, for example (n_rows, n_levels), in the units of `y`.
    tau : float, array or tensor
        Levels in (0, 1), for example (n_levels,). They are not checked: this is the inner loop of training.

    Returns
    -------
    array or tensor
        The losses, in the units of `y`, in the broadcast shape; NumPy in, NumPy out; torch in, torch out.

    Notes
    -----
    Koenker and Bassett (1978), "Regression quantiles"; chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> pinball_loss(np.array([10.0, 10.0]), np.array([8.0, 12.0]), 0.9)
    array([1.8, 0.2])
    """
    error = y - quantile
    return tau * error + (-error).clip(0)
