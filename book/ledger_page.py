"""Write the ledger: data/paper/ledger.yml and the recorded results -> Markdown."""

from collections import Counter
from functools import cache
from typing import NamedTuple

import claims_table
import yaml
from ledger_rules import FEW, decide, worst
from markdown_table import format_table

from qrgmm.studies.results import PAPER

LEDGER, CLAIMS = PAPER / "ledger.yml", PAPER / "claims.yml"
MEANINGS = {
    "same": "proved, exact, drawn again, or no number differs from the published one by more than its error",
    "same conclusion": "the ordering or the shape agrees; the numbers cannot be compared",
    "ours": "the paper leaves a choice open, or its text as we have it has lost a formula, and this is what we took",
    "undecided": "our replications neither confirm nor contradict it",
    "differs": "with the reason",
    "not done": "it could be done, and this book doesn't",
    "not run": "the code is here, the data of the paper are not",
    "cannot be done": "what it would take is lost or private",
    "open": "not yet recorded, or the numbers have none of ours beside them",
}
ARGUMENTS = {
    "exact": "a cell of the chapter asserts it to the last digits",
    "proof": "proved there, each step seen in numbers",
    "shown": "drawn or printed there, for one fit or one set of data, without replications",
    "choice": "a matter of design",
    "lost": "the formula or the numbers are lost in the text that we have",
    "data": "the data cannot be had, or cannot show it",
}
INTRODUCTION = """# Ledger

Every equation, result, figure, table and claim of the papers, and what came of it; also the work that they leave to the
future, and what this book does about it. The verdicts are

{verdicts}

Most are *computed* when the book is built, from the recorded replications and the published numbers: a plus-minus sign
stands before a standard error over replications, *s.e.* counts such errors, and of several differences the least sure
one is shown. A claim holds if every difference says so, and is contradicted if one says the contrary, beyond Student's
quantile at a level of 1 %, which the differences of one claim share. Where replications split one table anew, the
standard error is corrected for their overlap, as in {{ref}}`ch-big-mart`. The same numbers from no more than {few} runs
are *undecided*. The other verdicts are *argued*, with the kind of argument:

{arguments}

A number that could not be read in the source is left blank, never guessed. Where the papers themselves err, the
[errata](errata.md) say so.
"""


class Row(NamedTuple):
    """A row of the ledger with its verdict, and what decided it: numbers in words, none if it is argued."""

    row: dict
    verdict: str
    numbers: list


@cache
def read_ledger():
    """Return the papers as they are written in data/paper/ledger.yml."""
    return yaml.safe_load(LEDGER.read_text(encoding="utf-8"))


@cache
def read_claims():
    """Return the claims of each paper by name, as they are listed in data/paper/claims.yml."""
    return yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))


def judge_row(row):
    found = [decide(check) for check in row.get("checks", [])]
    verdict = worst(verdict for verdict, _ in found) if found else row["verdict"]
    return Row(row, verdict, [numbers for _, numbers in found])


@cache
def judge_papers():
    """Return the rows of each paper with their verdicts."""
    return {paper["paper"]: [judge_row(row) for row in paper["rows"]] for paper in read_ledger()}


def make_page():
    """Return the page as Markdown: what the verdicts mean, how many there are, the five models, one table per paper."""
    papers = judge_papers()
    introduction = INTRODUCTION.format(verdicts=make_list(MEANINGS), arguments=make_list(ARGUMENTS), few=FEW)
    sections = [introduction, count_verdicts(papers), claims_table.make_section()]
    for paper in read_ledger():
        sections += [f"## {paper['paper']}\n", f"{paper['note']}\n", make_table(papers[paper["paper"]])]
    return "\n".join(sections)


def count_verdicts(papers):
    names = [name.removeprefix("The ").removesuffix(" paper") for name in papers]
    lines = [["", *names], ["---", *["---:"] * len(names)]]
    lines.append(["**claims**", *(len(read_claims()[name]) for name in papers)])
    lines.append(["**rows**", *(len(rows) for rows in papers.values())])
    for verdict in MEANINGS:
        lines.append([verdict, *(Counter(row.verdict for row in rows)[verdict] for rows in papers.values())])
    lines.append(["*computed*", *(sum(bool(row.numbers) for row in rows) for rows in papers.values())])
    lines.append(["*argued*", *(sum(not row.numbers for row in rows) for rows in papers.values())])
    return format_table(lines)


def make_table(rows):
    lines = [["in the paper", "verdict", "grounds"], ["---"] * 3]
    lines += [[f"{row['place']}: {row['what']}", f"*{verdict}*", describe(row, verdict, numbers)]
              for row, verdict, numbers in rows]
    return format_table(lines)


def describe(row, verdict, numbers):
    """Say why: words, the numbers that decided, where it is shown and which record the numbers come from."""
    words = [row["why"]] if verdict in ("differs", "undecided") and "why" in row else []
    words += [row["words"]] if "words" in row else []
    said = "; ".join(words)
    if not numbers:
        said = f"argued ({row['argued']})" + (f": {said}" if said else "")
    where = ", ".join(f"{{ref}}`{label}`" for label in row["evidence"])
    records = " ".join(f"`{record}`" for record in find_records(row))
    return "<br>".join(filter(None, [said, *numbers, where + (f"; {records}" if records else "")]))


def find_records(row):
    """Return the names of the recorded studies and benchmarks that a row rests on."""
    named = [check.get("record") or check["study"] for check in row.get("checks", [])]
    flat = [name for each in named for name in (each if isinstance(each, list) else [each])]
    return list(dict.fromkeys(flat))


def make_list(meanings):
    lines = [f"- *{name}*: {meaning}" for name, meaning in meanings.items()]
    return ";\n".join(lines) + "."
