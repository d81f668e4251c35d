"""Answers of the quiz that are numbers: right by a second way, and scored in the page."""

import asyncio
import re

import execute
import numpy as np
import pytest
import quiz_numbers
import quiz_page
from pages import BROWSER, look, press, write_page
from scipy import stats

# The same numbers by hand, or by another library.
REFERENCES = {
    "ch-loss": 500**2 / (2 * 2 * 1000),
    "ch-theorem-1": 1 / 5,
    "ch-quantile-regression": (1 + 0 + 9) / 3,
    "ch-qrgmm": 40 + 20 * 3 / 5,
    "ch-rates": 100 - 1,
    "ch-fast-simulator": 1.5,
    "ch-deepfm": 1 * 0.5 - 2,
    "ch-generators": (40 + 20) / 2 - (0 + 20 + 20 + 0) / 4 / 2,
    "ch-synthetic": 0.03 / np.sqrt(0.08 * 0.92 / 399),
    "ch-synthetic-risk": 0.1 * 1000 * 2,
    "ch-big-mart": 30 * 25,
    "ch-cross-border": 0.03 + 0.97 * 0.1,
    "ch-delayed-payment": 0.8 * 0.02 / (0.8 * 0.02 + 0.2 * 0.98),  # Bayes: weights 0.02/0.5 and 0.98/0.5
    "ch-early-warning": 7**-0.5,
    "ch-sellers-in-time": 1000 * 0.02 / 0.97,
    "ch-keeping-the-promise": 0.03,
    "ch-one-loan": 11,
    "ch-portfolio": stats.norm.cdf((stats.norm.ppf(0.05) + 0.3 * stats.norm.ppf(0.95)) / np.sqrt(0.91)),
    "ch-desk": (150 + 50 * 2 / 5) * 4,
}
FORMS = """
<main><h1>Quiz</h1>{forms}</main>
"""
TYPE = """((i, text) => {
  const input = document.querySelectorAll("form.quiz-number input")[i];
  input.value = text;
  input.focus();
})"""
READ = """[[...document.querySelectorAll("output")].map(o => o.textContent),
  document.querySelector(".quiz-score").textContent, document.querySelector(".quiz-score").hidden,
  [...document.querySelectorAll("form")].map(f => f.hidden)]"""


@pytest.mark.parametrize("label", REFERENCES)
def test_answers_are_right(label):
    question = quiz_numbers.QUESTIONS[label]
    assert abs(question.compute() - REFERENCES[label]) < question.tolerance / 5
    assert question.tolerance < 0.05 * abs(REFERENCES[label]), "a guess is not let through"


def test_every_chapter_asks_for_a_number():
    texts = [path.read_text(encoding="utf-8") for path in execute.find_chapters()]
    labels = [re.search(r"^\((ch-\S+)\)=", text, re.MULTILINE)[1] for text in texts]
    assert list(quiz_numbers.QUESTIONS) == list(REFERENCES) == labels
    page = quiz_page.make_page()
    assert re.findall(r"^## \{ref\}`(\S+)`$", page, re.MULTILINE) == labels
    assert page.count('class="quiz-number"') == len(labels)
    for section in page.split("\n## ")[1:]:
        assert re.findall(r"^\*\*(\d)\.\*\*", section, re.M) == [str(i + 1) for i in range(section.count("**") // 2)]
        assert section.index("quiz-number") < section.rindex("```{dropdown} Answer")


def test_the_fold_says_the_number_that_the_page_compares_with():
    for part in quiz_page.make_page().split('data-answer="')[1:]:
        answer, said = float(part.partition('"')[0]), re.search(r"\{dropdown\} Answer\n(\S+),", part)[1]
        assert np.isclose(answer, float(said), rtol=1e-3)


def make_forms(tmp_path):
    blocks = re.findall(r"```\{raw\} html\n(.*?)```", quiz_page.make_page(), re.DOTALL)
    return write_page(tmp_path / "quiz.html", FORMS.format(forms="\n".join([blocks[0], blocks[2], blocks[-1]])))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: nothing was typed")
def test_the_page_scores_what_is_typed(tmp_path):
    page, right = make_forms(tmp_path), quiz_numbers.QUESTIONS["ch-quantile-regression"].compute()

    async def visit(port, pages):
        tab = await look.connect(port)
        try:
            found, seen = await tab.open(page, 1000, "light"), []
            typed = [(0, "lots"), (0, "62,5"), (1, f"{right + 0.02:.4f}"), (1, f" {right + 0.009:.4f}"), (0, "6")]
            for i, text in typed:
                await tab.evaluate(f"{TYPE}({i}, {text!r}); null")
                await press(tab, "Enter")
                seen.append(await tab.evaluate(READ))
            faults = look.find_faults(found | {"theme": "light"}, tab.events, 1000, "light") + await tab.audit()
            await tab.call("Emulation.setScriptExecutionDisabled", value=True)
            await tab.open(page, 1000, "light")
            return seen, faults, await tab.evaluate(READ)
        finally:
            tab.socket.close()

    seen, faults, without_script = asyncio.run(look.start_and_look(BROWSER, [page], visit))
    words = [state[0] for state in seen]
    assert "number" in words[0][0] and words[1] == ["Right.", ""] and words[2] == ["Right.", "Not right."]
    assert words[3] == ["Right.", "Right."] and words[4] == ["Not right.", "Right."]
    scores = [re.findall(r"\d+", state[1]) for state in seen]
    assert scores == [["0", "2", "0"], ["1", "2", "1"], ["1", "2", "2"], ["2", "2", "2"], ["1", "2", "2"]]
    assert faults == []
    assert without_script[2:] == [True, [True, True]]
