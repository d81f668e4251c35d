"""A day at the counters: shortest queue, priority, customers who lose patience. Many days run side by side.

Each day jumps from one of its own events to the next, an arrival or the end of a service, and NumPy moves all days at
once. Who leaves before being served needs no event of its own: a place in a queue is free when its deadline has passed.
`BankQueue` turns the days into outputs; chapter 6.
"""

import numpy as np

from qrgmm.checks import Rng

OPEN, LAST = 480.0, 720.0  # minutes after 9:00: doors close at 17:00, the day ends at 21:00


def draw_arrivals(rate: np.ndarray, rng: Rng = None) -> np.ndarray:
    """Draw the arrival times of one stream of customers for many days: one at 0, then a Poisson process.

    Parameters
    ----------
    rate : array of shape (n_rows,)
        Customers per minute.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    array of shape (n_rows, n_columns), in minutes after 9:00
        Sorted along each row; infinite where there is no customer, and always in the last column.

    Examples
    --------
    >>> draw_arrivals(np.array([0.002, 0.006]), rng=1).round()
    array([[  0.,  13., 264.,  inf,  inf,  inf],
           [  0.,  64., 146., 218., 378.,  inf]])
    """
    rng = np.random.default_rng(rng)
    number = rng.poisson(OPEN * rate)
    # Given their number, the arrivals of a Poisson process are uniform.
    times = rng.uniform(0, OPEN, (len(number), number.max() + 1))
    times[np.arange(times.shape[1]) >= number[:, None]] = np.inf
    return np.insert(np.sort(times, axis=1), 0, 0.0, axis=1)


def serve(
    arrival: np.ndarray, deadline: np.ndarray, work: np.ndarray, rates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Run all days side by side, each from one event of its own to the next.

    Parameters
    ----------
    arrival, deadline, work : array of shape (n_rows, n_customers)
        In minutes; `work` takes ``work / rate`` minutes at a counter. Infinite arrivals are no customers, and the
        last in order of time must be one. Of those who wait, the customer in the lowest column is served first.
    rates : array of shape (n_rows, n_counters)

    Returns
    -------
    end : array of shape (n_rows, n_customers)
        When each customer leaves, served or not.
    served : array of bool of shape (n_rows, n_customers)

    Examples
    --------
    >>> end, served = serve(np.array([[0.0, 1.0, 2.0, np.inf]]), np.array([[9.0, 9.0, 3.0, np.inf]]),
    ...                     np.ones((1, 4)), np.array([[0.2]]))
    >>> end, served
    (array([[ 5., 10.,  3., inf]]), array([[ True,  True, False, False]]))
    """
    n_rows, n_counters = rates.shape
    order = np.argsort(arrival, axis=1, kind="stable")
    end, served = deadline.copy(), np.zeros(arrival.shape, dtype=bool)
    busy_until = np.full((n_rows, n_counters), np.inf)  # infinite: idle
    # Places in the queues; one is free if the deadline of who stood there has passed.
    place_deadline, place_customer = np.full((n_rows, n_counters, 8), -np.inf), np.zeros((n_rows, n_counters, 8), int)
    next_arrival = np.zeros(n_rows, dtype=int)

    def start(row, counter, customer, now):
        busy_until[row, counter] = end[row, customer] = now + work[row, customer] / rates[row, counter]
        served[row, customer] = True

    row = np.arange(n_rows)
    while True:
        customer = order[row, next_arrival[row]]
        counter = busy_until[row].argmin(axis=1)
        arriving, leaving = arrival[row, customer], busy_until[row, counter]
        going_on = np.minimum(arriving, leaving) <= LAST
        if not going_on.any():
            return end, served
        comes, goes = going_on & (arriving < leaving), going_on & (leaving <= arriving)

        # Who comes joins the counter with the fewest customers, and is served at once where nobody else is.
        i, customer, now = row[comes], customer[comes], arriving[comes]
        next_arrival[i] += 1
        waiting = place_deadline[i] > now[:, None, None]
        busy = busy_until[i] < np.inf
        shortest = (busy + waiting.sum(axis=2)).argmin(axis=1)
        queued = busy[np.arange(len(i)), shortest]
        start(i[~queued], shortest[~queued], customer[~queued], now[~queued])
        taken = waiting[queued, shortest[queued]]
        if taken.all(axis=1).any():  # a queue is full: double the places
            more = ((0, 0), (0, 0), (0, place_deadline.shape[2]))
            place_deadline = np.pad(place_deadline, more, constant_values=-np.inf)
            place_customer = np.pad(place_customer, more)
            taken = np.pad(taken, more[1:])
        place = i[queued], shortest[queued], taken.argmin(axis=1)
        place_deadline[place], place_customer[place] = deadline[i[queued], customer[queued]], customer[queued]

        # Where a service ends, the one with the lowest rank among those who still wait is next.
        i, counter, now = row[goes], counter[goes], leaving[goes]
        busy_until[i, counter] = np.inf
        rank = np.where(place_deadline[i, counter] > now[:, None], place_customer[i, counter], arrival.shape[1])
        place = rank.argmin(axis=1)
        customer = rank[np.arange(len(i)), place]
        some = customer < arrival.shape[1]
        place_deadline[i[some], counter[some], place[some]] = -np.inf
        start(i[some], counter[some], customer[some], now[some])
        row = row[going_on]
