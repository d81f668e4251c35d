"""The source of a function as the chapters show it: the code that runs, without its docstring."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def source(function: Callable | type) -> str:
    """Return the source of a function, method or class without its own docstring.

    Parameters
    ----------
    function : callable
        Anything that `inspect.getsource` reads.

    Returns
    -------
    str

    Examples
    --------
    >>> from qrgmm.loss import pinball_loss
    >>> print(source(pinball_loss))
    def pinball_loss(y: Array, quantile: Array, tau: float | Array) -> Array:
        error = y - quantile
        return tau * error + (-error).clip(0)
    """
    text = textwrap.dedent(inspect.getsource(function))
    definition: Any = ast.parse(text).body[0]
    lines = text.splitlines()
    if ast.get_docstring(definition) is not None:
        del lines[definition.body[0].lineno - 1 : definition.body[0].end_lineno]
    return "\n".join(lines)
