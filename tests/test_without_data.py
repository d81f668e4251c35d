"""A machine without data and network: found out once and soon, said, skipped, and a failure where data must be had."""

import ast
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import execute
import nbformat
import pooch
import pytest

import conftest
from qrgmm.datasets import files
from qrgmm.studies.runner import STUDIES

ROOT = Path(__file__).resolve().parents[1]
NAME = "bigmart_train.csv"
LOCATE = """
import sys
from qrgmm.datasets import files
files.TIMEOUT = 1, 0.2
files.RAW_FOLDER = files.Path(sys.argv[2])
files.SOURCES["bigmart_train.csv"] = sys.argv[1], "0" * 64
try:
    files.locate("bigmart_train.csv")
except ConnectionError as error:
    print(error)
"""


@pytest.fixture
def silence():
    """A server that takes connections and says nothing: its address, and the list of connections."""
    taken, server = [], socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                taken.append(server.accept()[0])
            except OSError:  # closed below
                return

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/sales.csv", taken
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    for connection in taken:
        connection.close()


def clean_environment(**settings):
    names = ("QRGMM_DATA", "QRGMM_RUN", "QRGMM_REQUIRE_DATA", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    path = os.pathsep.join([str(ROOT), str(ROOT / "notebooks")])
    return {name: os.environ[name] for name in os.environ if name not in names} | {"PYTHONPATH": path} | settings


def run_python(code, *arguments, **settings):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = clean_environment(**settings)
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True).stdout.strip()


def test_a_host_that_does_not_answer_is_asked_once_by_all_processes_of_a_run_and_again_by_the_next(silence, tmp_path):
    url, taken = silence
    runs = [tmp_path / "run", tmp_path / "next"]
    for run, n_asked in ((runs[0], 1), (runs[0], 1), (runs[1], 2)):
        run.mkdir(exist_ok=True)
        said = run_python(LOCATE, url, tmp_path / "raw", QRGMM_RUN=str(run))
        assert said.startswith(f"{NAME} was not found and could not be downloaded (") and said.endswith(url)
        assert len(taken) == n_asked
    notes = [(run / "127.0.0.1").read_text(encoding="utf-8") for run in runs]
    assert notes[0] == notes[1] and f"({notes[0]})" in said
    assert not list((tmp_path / "raw").iterdir())


def test_one_file_that_is_gone_does_not_speak_for_the_host(tmp_path, monkeypatch):
    import requests

    def refuse(*args, **kwargs):
        raise requests.exceptions.HTTPError("404")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(files, "RAW_FOLDER", tmp_path / "raw")
    monkeypatch.delenv("QRGMM_DATA", raising=False)
    monkeypatch.setenv("QRGMM_RUN", str(tmp_path))
    with pytest.raises(ConnectionError, match="HTTPError"):
        files.locate(NAME)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    monkeypatch.setattr(pooch, "retrieve", lambda *args, **kwargs: pytest.fail("asked again"))
    with pytest.raises(ConnectionError, match="HTTPError"):
        files.locate(NAME)
    with pytest.raises(pytest.fail.Exception, match="asked again"):
        files.locate("payment_practices_scf.csv")


@pytest.mark.parametrize("case", ["says nothing", "takes no connection"])
def test_a_silent_server_is_given_up_within_seconds(silence, tmp_path, monkeypatch, case):
    connect, read = files.TIMEOUT
    assert connect <= 5 and read <= 10
    monkeypatch.setattr(files, "TIMEOUT", (0.3, 0.3))
    monkeypatch.setattr(files, "RAW_FOLDER", tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("QRGMM_DATA", "QRGMM_RUN"):
        monkeypatch.delenv(name, raising=False)
    url, waiting = silence[0], []
    if case == "takes no connection":  # its queue is full
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        waiting = [full, *(socket.socket() for _ in range(4))]
        for client in waiting[1:]:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/sales.csv"
    monkeypatch.setitem(files.SOURCES, NAME, (url, "0" * 64))
    start = time.perf_counter()
    expected = "ReadTimeout" if case == "says nothing" else "ConnectTimeout"
    with pytest.raises(ConnectionError, match=rf"could not be downloaded \({expected}\)"):
        files.locate(NAME)
    assert time.perf_counter() - start < 5
    for client in waiting:
        client.close()


def test_notes_of_a_run_go_with_it_and_its_processes_share_them(tmp_path):
    code = "import execute, os; execute.prepare_environment(); print(os.environ['QRGMM_RUN'], end=' ')"
    code += "; print(os.path.isdir(os.environ['QRGMM_RUN']))"
    folder, was_there = run_python(code).split()
    assert was_there == "True" and not Path(folder).exists()
    assert run_python(code, QRGMM_RUN=str(tmp_path)) == f"{tmp_path} True" and tmp_path.exists()


@pytest.mark.parametrize("required", [False, True])
def test_missing_data_skip_a_test_and_the_cells_of_a_chapter_or_fail_them_where_they_must_be_had(
    monkeypatch, need_data, required
):
    monkeypatch.setattr(execute, "find_missing_data", lambda names: f"{names[0]} is not here" if names else None)
    monkeypatch.setenv("QRGMM_REQUIRE_DATA", "1" if required else "")
    expected, message = pytest.skip.Exception, f"^{NAME} is not here$"
    if required:
        expected, message = pytest.fail.Exception, f"QRGMM_REQUIRE_DATA is 1, but {NAME} is not here$"
    notebook = nbformat.v4.new_notebook(metadata={"qrgmm": {"data": [NAME]}})
    cell = SimpleNamespace(parent=SimpleNamespace(nb=notebook))
    with pytest.raises(expected, match=message):
        need_data(NAME)
    with pytest.raises(expected, match=message):
        conftest.pytest_runtest_setup(cell)
    notebook.metadata.clear()
    conftest.pytest_runtest_setup(cell)  # a chapter without data is compared


@pytest.mark.parametrize("required", [False, True])
def test_chapters_say_before_they_run_that_they_run_on_a_stand_in_or_do_not_run(monkeypatch, capsys, required):
    monkeypatch.setattr(execute, "find_missing_data", lambda names: f"{names[0]} is not here" if names else None)
    monkeypatch.setenv("QRGMM_REQUIRE_DATA", "1" if required else "")
    chapters = execute.find_chapters(["01", "04"])
    said = f"04_qrgmm runs on a stand-in: {NAME} is not here"
    if required:
        with pytest.raises(SystemExit, match=f"^{said}\n.*nothing was executed"):
            execute.look_for_data(chapters)
    else:
        execute.look_for_data(chapters)
        assert capsys.readouterr().err == said + "\n"
    execute.look_for_data(chapters[:1])


def test_a_wrong_setting_is_no_missing_data(monkeypatch, tmp_path):
    monkeypatch.setenv("QRGMM_DATA", str(tmp_path / "nowhere"))
    execute.find_missing_data.cache_clear()
    with pytest.raises(FileNotFoundError, match="QRGMM_DATA must name a folder"):
        execute.find_missing_data((NAME,))


def find_data(chapter):
    """Return the data sets that the code of a chapter reads: by name, by loader, or in a study that it repeats."""
    code = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "code")
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    found = set()
    for call in calls:
        name = ast.unparse(call.func).rpartition(".")[2]
        texts = {node.value for node in ast.walk(call) if isinstance(node, ast.Constant)}
        if name in ("load_big_mart", "big_mart_table"):
            found.add(NAME)
        elif name == "load_marketplace":
            found |= {file for file in files.SOURCES if file.startswith("marketplace/")}
        elif name == "load_online_retail":
            found.add("online_retail.parquet")
        elif name == "load_payment_practices":
            snapshots = [keyword.value.value for keyword in call.keywords if keyword.arg == "snapshot"] or ["scf"]
            found |= {f"payment_practices_{snapshot}.csv" for snapshot in snapshots}
        elif name == "locate":
            found |= texts & set(files.SOURCES)
        elif name in ("replicate", "check"):  # its study may be a variable, so that any text of the chapter counts
            studies = {study for study in STUDIES if study.startswith("big_mart")}
            found |= {NAME} if any(repr(study) in ast.unparse(ast.parse(code)) for study in studies) else set()
    return found


@pytest.mark.parametrize("path", execute.find_chapters(), ids=lambda path: path.stem)
def test_a_chapter_names_the_data_that_it_reads_and_says_when_it_runs_without(path):
    chapter = execute.read_chapter(path)
    names = execute.name_data(chapter)
    assert sorted(names) == sorted(find_data(chapter))
    if names:
        code = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "code")
        assert "This page was built without the" in code and '.attrs["source"]' in code


def test_downloads_go_into_a_checkout_or_a_cache_and_never_beside_installed_packages(tmp_path):
    assert files.RAW_FOLDER == ROOT / "data" / "raw"
    assert files._choose_folder(tmp_path) == Path(pooch.os_cache("qrgmm"))
    (tmp_path / "pyproject.toml").touch()
    assert files._choose_folder(tmp_path) == tmp_path / "data" / "raw"
