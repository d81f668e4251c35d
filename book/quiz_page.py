"""Write the quiz: quiz.md, with a question of quiz_numbers.py at the end of each chapter, and the script that scores.

A question has a form that the script shows, and a fold with the answer that is there without it.
"""

import re
from pathlib import Path

from quiz_numbers import QUESTIONS

FOLDER = Path(__file__).resolve().parent
CHAPTER = re.compile(r"^## \{ref\}`(ch-[a-z0-9-]+)`$", re.MULTILINE)
FORM = """```{{raw}} html
<form class="quiz-number" data-answer="{answer!r}" data-tolerance="{tolerance!r}" hidden>
<label>Your answer, {unit}, to within {tolerance:g}: <input inputmode="decimal" autocomplete="off" size="9"></label>
<button class="btn btn-sm">Check</button> <output></output>
</form>
```
"""
SCORE = """
```{{raw}} html
<p class="quiz-score" role="status" hidden></p>
<script>
{{
{script}}}
</script>
```
"""


def write_question(number, question):
    """Return one question as Markdown."""
    answer = float(f"{question.compute():.10g}")
    form = FORM.format(answer=answer, tolerance=float(question.tolerance), unit=question.unit)
    said = f"{answer:.4g}, {question.unit}. {question.why}"
    return f"**{number}.** {question.text}\n\n{form}\n```{{dropdown}} Answer\n{said}\n```\n"


def make_page():
    """Return the page as Markdown."""
    head, *parts = CHAPTER.split((FOLDER / "quiz.md").read_text(encoding="utf-8"))
    page = [head]
    for label, text in zip(parts[::2], parts[1::2]):
        number = text.count("```{dropdown} Answer") + 1
        page.append(f"## {{ref}}`{label}`{text.rstrip()}\n\n{write_question(number, QUESTIONS[label])}")
    script = (FOLDER / "quiz.js").read_text(encoding="utf-8")
    return page[0] + "\n".join(page[1:]) + SCORE.format(script=script)
