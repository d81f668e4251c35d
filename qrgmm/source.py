"""The source of a function as the chapters show it: the code that runs, without its docstring."""

import ast
import inspect
import textwrap


def source(function):
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
    def pinball_loss(y, quantile, tau):
        error = y - quantile
        return tau * error + (-error).clip(0)
    """
    text = textwrap.dedent(inspect.getsource(function))
    body = ast.parse(text).body[0].body
    lines = text.splitlines()
    if ast.get_docstring(ast.parse(text).body[0]) is not None:
        del lines[body[0].lineno - 1 : body[0].end_lineno]
    return "\n".join(lines)
