"""Build the HTML book from executed chapters: build/notebooks/ and book/ -> build/html/, and the hand-outs.

Warnings are errors. The new book takes the place of the old one only when it is complete and passes tests/test_book.py.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import api_pages
import benchmark_page
import goals_page
import handouts
import ledger_page
import quiz_page

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
OFFLINE = "from-sales-curves-to-loans"  # the book as one file
REDIRECT = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><meta http-equiv="refresh" content="0; url=book/index.html"></head>
<body><a href="book/index.html">{title}</a></body>
</html>
"""


def assemble_source(source):
    """Copy the frame and the executed chapters side by side, as they stand in the repository."""
    shutil.rmtree(source, ignore_errors=True)
    programs = [path.name for path in (ROOT / "book").glob("*.py")]
    left_out = shutil.ignore_patterns("__pycache__", "assignments", *programs)
    shutil.copytree(ROOT / "book", source / "book", ignore=left_out)
    (source / "book" / "benchmarks.md").write_text(benchmark_page.make_page(), encoding="utf-8")
    (source / "book" / "goals.md").write_text(goals_page.make_page(), encoding="utf-8")
    (source / "book" / "ledger.md").write_text(ledger_page.make_page(), encoding="utf-8")
    (source / "book" / "quiz.md").write_text(quiz_page.make_page(), encoding="utf-8")
    api_pages.write_pages(source / "book")
    for name in ("README.md", "CHANGELOG.md"):  # the pages that show parts of them include them
        shutil.copy(ROOT / name, source)
    for name in ("CITATION.cff", "LICENSE"):
        shutil.copy(ROOT / name, source / "book")
    handouts.write_handouts(handouts.HANDOUTS)
    shutil.make_archive(source / "book" / "handouts", "zip", handouts.HANDOUTS)
    (source / "notebooks").mkdir()
    for text in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.md")):
        executed = BUILD / "notebooks" / f"{text.stem}.ipynb"
        if not executed.exists():
            sys.exit(f"{executed.relative_to(ROOT)} is missing: make book executes the chapters first")
        shutil.copy(executed, source / "notebooks")


def run(*command, stdout=None, **environment):
    """Run a program of this environment; stop here where it fails."""
    program = shutil.which(command[0], path=Path(sys.executable).parent)  # which knows .exe
    status = subprocess.run([program, *command[1:]], stdout=stdout, env=os.environ | environment).returncode
    if status:
        sys.exit(f"the book was not built: {command[0]} ended with status {status}; an earlier book is kept as it was")


def write(source, target, builder):
    """Build a whole new book below `target` and return its folder; warnings are errors, and both go to stderr."""
    shutil.rmtree(target, ignore_errors=True)
    frame = source / "book"
    run(
        "jupyter-book",
        "build",
        source,
        "--config",
        frame / "_config.yml",
        "--toc",
        frame / "_toc.yml",
        "--path-output",
        target,
        "--builder",
        builder,
        "--all",
        "-W",
        "-n",
        "--keep-going",
        "--quiet",
        stdout=subprocess.DEVNULL,
    )
    return target / "_build" / builder


def build_html(source, target):
    """Build the pages of the book below `target`, and the book as one file; return their folder."""
    pages = write(source, target, "html")
    first = (pages / "book" / "index.html").read_text(encoding="utf-8")
    title = first.partition("<title>")[2].partition("</title>")[0].strip()
    (pages / "index.html").write_text(REDIRECT.format(title=title), encoding="utf-8")
    archive = shutil.make_archive(target / OFFLINE, "zip", pages)
    shutil.move(archive, pages)
    return pages


def main():
    source, work, html, old = (BUILD / name for name in ("source", "work", "html", "html.old"))
    assemble_source(source)
    pages = build_html(source, work)
    run("pytest", "-q", "-p", "no:cacheprovider", ROOT / "tests" / "test_book.py", QRGMM_BOOK=str(pages))
    shutil.rmtree(old, ignore_errors=True)
    if html.exists():
        html.rename(old)
    pages.rename(html)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(work)
    print(f"\nThe book is built. Open {html.relative_to(ROOT) / 'index.html'} in a browser.")


if __name__ == "__main__":
    main()
