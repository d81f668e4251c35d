"""Write the page of learning goals and exercises from the chapters: notebooks/NN_topic.md -> Markdown."""

import re
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
INTRODUCTION = """(goals)=
# Goals and exercises

What a reader can do after each chapter, and what there is to practise it on. Every exercise has a solution that was
run with the chapter. The {download}`hand-outs <handouts.zip>` are the same chapters with an empty cell in the place of
each solution.
"""


def make_page():
    """Return the page as Markdown, one section per chapter."""
    chapters = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.md"))
    return "\n".join([INTRODUCTION, *(describe_chapter(path.read_text(encoding="utf-8")) for path in chapters)])


def describe_chapter(text):
    label = re.search(r"^\((ch-[a-z0-9-]+)\)=$", text, re.MULTILINE)[1]
    goals = re.search(r"^## After this chapter you can\n\n(.+?)\n\n(?!-)", text, re.MULTILINE | re.DOTALL)[1]
    exercises = re.findall(r"^`{3,}\{exercise\} (.+)\n:label: (\S+)", text, re.MULTILINE)
    links = "; ".join(f"{{ref}}`{title} <{name}>`" for title, name in exercises)
    return f"## {{ref}}`{label}`\n\n{goals}\n\nExercises: {links}.\n"
