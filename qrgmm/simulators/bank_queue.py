r"""A bank with six counters, whose days are those of `qrgmm.simulators.queueing`.

Chapter 6.
"""

import numpy as np

from qrgmm.simulators.queueing import LAST, OPEN, draw_arrivals, serve
from qrgmm.simulators.simulator import Simulator

N_COUNTERS = 6


class BankQueue(Simulator):
    r"""A day in a bank: six counters, customers with priority, and customers who leave before they are served.

    Normal and priority customers come in two Poisson streams from 9:00 to 17:00; the first of each stream stands at
    the door at 9:00. A customer joins the counter with the fewest customers, the one in service included; on ties, the
    counter with the lowest number. A counter serves priority customers first, but interrupts no service; service times
    are exponential. A customer whose patience, Gamma(m, 1), ends before service starts, leaves.

    Customers who left count in the mean time in the system, with their patience. Overtime is how long after 17:00 the
    last customer leaves. The few who are still there at 21:00 count nowhere.

    Attributes
    ----------
    outputs : tuple of str
        Names of the columns of `draw`: times in minutes, rates as shares of the customers.
    conditional_point : tuple
        Arrival rates (normal, priority), six service rates, all per minute, and the two mean patiences in minutes.

    Notes
    -----
    E-companion of "Learning to simulate", whose authors learn it by quantile regression neural networks; the basis of
    degree 2 (65 columns) is ours. Chapter 6.

    Examples
    --------
    >>> bank = BankQueue()
    >>> dict(zip(bank.outputs, bank.draw(bank.conditional_point, rng=0)[0].round(2).tolist()))
    {'time_normal': 16.69, 'reneged_normal': 0.15, 'time_priority': 13.94, 'reneged_priority': 0.17, 'overtime': 29.97}
    """

    lows = (1 / 5, 1 / 10) + N_COUNTERS * (1 / 20,) + (15, 10)
    highs = (1, 1 / 5) + N_COUNTERS * (1 / 10,) + (20, 15)
    conditional_point = (1 / 4, 1 / 8, 1 / 15, 1 / 16, 1 / 17, 1 / 19, 1 / 11, 1 / 13, 18, 12)
    outputs = ("time_normal", "reneged_normal", "time_priority", "reneged_priority", "overtime")
    degree = 2

    def _draw(self, X, rng):
        # Priority customers stand in the first columns, so that among those who wait the lowest column is next.
        priority, normal = draw_arrivals(X[:, 1], rng), draw_arrivals(X[:, 0], rng)
        arrival = np.hstack([priority, normal])
        is_priority = np.arange(arrival.shape[1]) < priority.shape[1]
        deadline = arrival + rng.standard_gamma(np.where(is_priority, X[:, [9]], X[:, [8]]))
        end, served = serve(arrival, deadline, rng.standard_exponential(arrival.shape), X[:, 2 : 2 + N_COUNTERS])
        seen = end <= LAST
        time = np.subtract(end, arrival, out=np.zeros(end.shape), where=seen)
        columns = []
        for group in (~is_priority, is_priority):
            n_seen = np.maximum(seen[:, group].sum(axis=1), 1)
            columns += [time[:, group].sum(axis=1) / n_seen, (seen & ~served)[:, group].sum(axis=1) / n_seen]
        overtime = np.max(end, axis=1, where=seen, initial=OPEN) - OPEN
        return np.column_stack([*columns, overtime])

    def _checked(self, X):
        X = super()._checked(X)
        if (X <= 0).any():
            raise ValueError(f"X must have positive rates and patiences, got {X.min():g}")
        return X
