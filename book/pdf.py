"""Build the book for A4 paper from executed chapters: build/notebooks/ and book/ -> build/pdf/.

Sphinx writes LaTeX, which _ext/paper.py arranges and _ext/paper.tex dresses, and XeLaTeX sets it. A new file takes the
place of the old one only where nothing is lost in it: every reference and link has its target, every character is in
its font, and no line of text is wider than the page.
"""

import os
import re
import shutil
import subprocess
import sys

import build

PROGRAMS = ("latexmk", "xelatex", "makeindex")
PACKAGES = "latexmk texlive-xetex texlive-fonts-recommended fonts-texgyre fonts-texgyre-math fonts-dejavu-core"
FOLDER = build.BUILD / "pdf"
TOO_WIDE = 10  # points; less is not seen
LOST = re.compile(r"! |.*Missing character|.*(?:[Rr]eference|Citation) `.+' .*undefined|.*Label `.+' multiply defined")
OVERFULL = re.compile(r"Overfull \\hbox \((\d+)\.\d+pt too wide\).*")


def find_programs():
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        where = f"On Debian and Ubuntu:\napt install --no-install-recommends {PACKAGES}"
        sys.exit(f"make pdf needs TeX, and {', '.join(missing)} can't be found. {where}")


def set_type(folder):
    """Let XeLaTeX set the one .tex file of a folder, as often as its references need; return PDF and log."""
    (source,) = folder.glob("*.tex")
    command = ["latexmk", "-xelatex", "-interaction=nonstopmode", "-halt-on-error", source.name]
    environment = os.environ | {"max_print_line": "10000"}  # a warning is one line
    with open(folder / "latexmk.out", "w", encoding="utf-8") as out:
        status = subprocess.run(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, env=environment).returncode
    log = source.with_suffix(".log").read_text(encoding="utf-8", errors="replace")  # of the last run
    if status:
        sys.exit("\n".join(find_losses(log)) + f"\nthe book was not set: {source.with_suffix('.log')} says why")
    return source.with_suffix(".pdf"), log


def find_losses(log):
    """Return the lines of a log that tell of something lost: what is undefined, has no glyph, or leaves the page."""
    lines = dict.fromkeys(log.splitlines())
    wide = [line for line in lines if (found := OVERFULL.match(line)) and int(found[1]) >= TOO_WIDE]
    return [line for line in lines if LOST.match(line)] + wide


def main():
    find_programs()
    source, work = build.BUILD / "source", build.BUILD / "work"
    build.assemble_source(source)
    pdf, log = set_type(build.write(source, work, "latex"))
    if losses := find_losses(log):
        sys.exit("\n".join(losses) + f"\n{len(losses)} losses in {pdf}")
    FOLDER.mkdir(exist_ok=True)
    shutil.move(pdf, FOLDER / pdf.name)
    shutil.rmtree(work)
    print(f"\nThe book is set: {(FOLDER / pdf.name).relative_to(build.ROOT)}")


if __name__ == "__main__":
    main()
