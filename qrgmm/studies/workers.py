r"""Compute many things on the processes of this machine, or on a Dask cluster that has the same code.

Whatever is computed must depend on its arguments alone: workers take what is next, and results come as they finish.
"""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from joblib import Parallel, delayed, parallel_config

PATIENCE = 30  # seconds to wait for a Dask scheduler and its first worker


def _hash_code():
    """Return a hash over the files of this package, as they are when they are imported."""
    folder, digest = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


CODE = _hash_code()


def compute(
    function: Callable,
    arguments: list[tuple],
    n_jobs: int = 1,
    address: str | None = None,
) -> Iterator:
    """Yield results of a function as they are finished.

    Parameters
    ----------
    function : callable
        At the top level of a module that workers can import.
    arguments : list of tuple
        Positional arguments, one tuple per call.
    n_jobs : int
        Processes on this machine; 1 computes in this one, -1 takes all cores. They end when this process ends.
    address : str, optional
        Of a Dask scheduler, ``tcp://...``, to use its workers instead.

    Raises
    ------
    RuntimeError
        If the scheduler does not answer or has no worker, or if a worker cannot import the package or has other code.

    Examples
    --------
    >>> list(compute(divmod, [(7, 2), (9, 4)]))
    [(3, 1), (2, 1)]
    """
    if address is not None:
        yield from _compute_on_cluster(function, arguments, address)
        return
    with parallel_config("loky", n_jobs=n_jobs, initializer=_end_with, initargs=(os.getpid(),)):
        yield from Parallel(return_as="generator_unordered")(delayed(function)(*given) for given in arguments)


def _end_with(parent):
    """End this process when its parent ends: a run that is killed leaves no workers behind."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _compute_on_cluster(function, arguments, address):
    """Yield as `compute`, after every worker has shown that it has this code.

    Functions that are sent are local ones, which travel as a whole: neither scheduler nor worker needs this package to
    read them, so that a worker without it can say so. (joblib would not give work to a cluster with a single thread.)
    """
    from dask.distributed import Client, as_completed, rpc  # takes a second to import and is rarely used

    code, module, name = CODE, function.__module__, function.__name__

    def find_fault():
        try:
            import_module(module)
            theirs = import_module("qrgmm.studies.workers").CODE
        except Exception as error:
            return f"can't import qrgmm ({error!r})"
        return None if theirs == code else "has other code of qrgmm than this process"

    def call(given):
        if (fault := find_fault()) is not None:  # a worker that came later
            raise RuntimeError(f"a worker of {address} {fault}")
        return getattr(import_module(module), name)(*given)

    async def greet():
        async with rpc(address) as scheduler:
            await asyncio.wait_for(scheduler.identity(), PATIENCE)

    try:  # a client waits for ever where something accepts and says nothing
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
            thread.submit(asyncio.run, greet()).result()
    except OSError as error:
        raise RuntimeError(f"no Dask scheduler answers at {address} within {PATIENCE} seconds") from error
    with Client(address, timeout=PATIENCE) as client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise RuntimeError(f"the Dask scheduler at {address} has no worker after {PATIENCE} seconds") from error
        faults = [f"{worker} {fault}" for worker, fault in client.run(find_fault).items() if fault is not None]
        if faults:
            raise RuntimeError(f"workers of {address} can't be used: {'; '.join(faults)}")
        for _, result in as_completed(client.map(call, arguments, pure=False), with_results=True):
            yield result
