"""Outputs of cells that state a `chaotic` spread are compared within it, words and all other cells to the letter."""

from types import SimpleNamespace

import nbformat.v4 as v4
import pytest

import conftest

TEXT = "best, after 220 updates: CRPS 15.1, spread 1,179\n"
HTML, PLAIN = "<td>{}</td>\n<td>Truth</td>", "  score {}\nTruth"


def outputs(text=TEXT, number="15.1"):
    data = {"text/html": HTML.format(number), "text/plain": PLAIN.format(number), "image/png": "abc"}
    return [v4.new_output("stream", text=text), v4.new_output("execute_result", data, execution_count=1)]


def agree(fresh, spread):
    metadata = {} if spread is None else {"chaotic": spread}
    cell = SimpleNamespace(
        cell=SimpleNamespace(metadata=metadata),
        parent=SimpleNamespace(skip_compare=("image/png", "execution_count")),
        colors=conftest.nbval.plugin.nocolors,
        sanitize=lambda text: text,
        comparison_traceback=[],
        format_output_compare=lambda *_: None,
    )
    return conftest.compare_by_class(cell, fresh, outputs())


NEAR = [outputs("best, after 238 updates: CRPS 14.7, spread 1,020\n"), outputs(number="17.123")]
FAR = [
    outputs("best, after 660 updates: CRPS 15.1, spread 1,179\n"),
    outputs("best, after 220 updates: CRPS 15.1, spread 117\n"),
    outputs("best, after 220 updates: CRPS -15.1, spread 1,179\n"),
    outputs("best, after 220 updates: CRPS nan, spread 1,179\n"),
    outputs("worst, after 220 updates: CRPS 15.1, spread 1,179\n"),
    outputs("best, after 220 updates: CRPS 15.1\n"),
    outputs(number="45.1"),
    outputs()[:1],
]


@pytest.mark.parametrize("fresh", NEAR)
def test_numbers_within_the_spread_pass_in_a_chaotic_cell_only(fresh):
    assert agree(fresh, 0.3)
    assert not agree(fresh, None)


@pytest.mark.parametrize("fresh", FAR)
def test_numbers_far_outside_and_other_words_fail_in_every_cell(fresh):
    assert not agree(fresh, 0.3)
    assert not agree(fresh, None)


def test_what_was_committed_passes():
    assert agree(outputs(), 0.3) and agree(outputs(), None)
