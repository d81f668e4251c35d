"""The front page of the repository agrees with what is there: links, chapters, commands, example."""

import ast
import re
from pathlib import Path

import execute
import pytest

from qrgmm.desk.command import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def find_title(path):
    return re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)[1]


def test_links_lead_to_files():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links and not [link for link in links if not (ROOT / link.partition("#")[0]).exists()]


def test_every_chapter_is_listed_by_its_title():
    listed = re.findall(r"\[\d\d (.+?)\]\(notebooks/(\w+)\.md\)", README)
    assert listed == [(find_title(path), path.stem) for path in execute.find_chapters()]


def test_folders_exist():
    folders = re.findall(r"^\| `(\w+)/`", README, re.MULTILINE)
    assert folders and not [folder for folder in folders if not (ROOT / folder).is_dir()]


@pytest.mark.parametrize("page", ["README.md", "book/contributing.md", "book/onboarding.md", "book/teaching.md"])
def test_commands_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE)) <= TARGETS
    files = re.findall(r"(?:notebooks|qrgmm|tests|book)/[a-z_0-9]+\.[a-z]+", text)
    written = {"book/handouts.zip"}
    assert not [file for file in files if file not in written and not (ROOT / file).exists()]


def test_example_names_what_the_package_has():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = __import__(node.module, fromlist=["name"])
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)]


def test_the_first_decision_of_an_analyst_runs_as_written(tmp_path, monkeypatch, capsys):
    """The blocks of the onboarding page in their order, and the desk on the files that they write."""
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "book" / "onboarding.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)), {})
    promised, kept = re.findall(r"(0\.\d+) default where 0.05|(0\.\d+) of \d+, standard error", capsys.readouterr().out)
    assert float(promised[0]) > 0.05 and abs(float(kept[1]) - 0.05) < 0.03
    one_line = page.replace("\\\n", " ")
    command = re.search(r"^\S+python -m qrgmm.desk (.*)$", one_line, re.MULTILINE)[1].split()
    main([*command, "--refits", "0"])
    assert (tmp_path / "build" / "memos" / "memo.html").is_file()
