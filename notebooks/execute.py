"""Execute chapters: MyST text -> papermill -> notebook without run noise. The only way chapters are run.

    python notebooks/execute.py                          # all chapters, into notebooks/ (the committed outputs)
    python notebooks/execute.py 03 04                    # chapters whose names start so
    python notebooks/execute.py --output build/notebooks # somewhere else, as make book does
    python notebooks/execute.py --output build/another-seed --seed 7

A chapter is always executed afresh. Executing it twice gives the same bytes: cell ids come from positions, and times,
paths and versions are dropped. A chapter that fails leaves the notebook of an earlier run where it was.
"""

import argparse
import atexit
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import jupytext
import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

CHAPTERS = Path(__file__).resolve().parent
ROOT = CHAPTERS.parent
KERNEL_START_FAILED = ("Kernel died before replying", "Kernel didn't respond")


def prepare_environment():
    """Let every kernel be the same: this checkout's qrgmm, no settings of the user's own, and one thread.

    What this process starts is one run with it: QRGMM_RUN names a folder where they leave notes, such as of a host that
    does not answer. It goes when the run ends, so that the next one tries again.
    """
    settings = ROOT / "build" / "ipython" / "profile_default"
    settings.mkdir(parents=True, exist_ok=True)
    replace_text(settings / "ipython_kernel_config.py", 'get_config().IPKernelApp.log_level = "ERROR"\n')
    os.environ["IPYTHONDIR"] = str(settings.parent)
    os.environ["PYTHONPATH"] = str(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if "QRGMM_RUN" not in os.environ:
        os.environ["QRGMM_RUN"] = tempfile.mkdtemp(prefix="run-", dir=ROOT / "build")
        atexit.register(shutil.rmtree, os.environ["QRGMM_RUN"], ignore_errors=True)


@cache
def find_missing_data(names):
    """Return why data sets that a chapter names in its front matter (`qrgmm: {data: [...]}`) can't be had, or None."""
    from qrgmm import datasets  # here, so that a broken package fails chapters and tests one by one

    for name in names:
        try:
            datasets.locate(name)
        except ConnectionError as error:
            return str(error)
    return None


def name_data(notebook):
    """Return the names of the data sets that a chapter reads."""
    return tuple(notebook.metadata.get("qrgmm", {}).get("data", []))


def look_for_data(chapters):
    """Find or download once what chapters read, and say which of them will run on a stand-in, or stop if none may."""
    missing = {path.stem: find_missing_data(name_data(read_chapter(path))) for path in chapters}
    lines = [f"{name} runs on a stand-in: {reason}" for name, reason in missing.items() if reason]
    if lines and os.environ.get("QRGMM_REQUIRE_DATA") == "1":
        raise SystemExit("\n".join([*lines, "QRGMM_REQUIRE_DATA is 1: nothing was executed"]))
    for line in lines:
        print(line, file=sys.stderr)


def replace_text(path, text):
    """Let a file hold `text`; whoever reads it meanwhile sees all of the old one or all of the new one."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (OSError, UnicodeDecodeError):
        pass
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def find_chapters(names=()):
    """Return the paths of the chapters' texts in order: all, or those whose names start with one of `names`."""
    paths = sorted(CHAPTERS.glob("[0-9][0-9]_*.md"))
    names = [Path(name).stem for name in names]
    unknown = [name for name in names if not any(path.stem.startswith(name) for path in paths)]
    if unknown:
        raise SystemExit(f"no chapter starts with {', '.join(unknown)}; there are: {' '.join(p.stem for p in paths)}")
    return [path for path in paths if not names or path.stem.startswith(tuple(names))]


def read_chapter(path):
    """Return the notebook that a chapter's text describes, not executed, each cell named by its position."""
    notebook = jupytext.read(path, fmt="md:myst")
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"{path.stem}-{i:03d}"
    return notebook


def remove_run_noise(notebook, text):
    """Return `text` (the notebook as read) with the outputs of `notebook` (the same as executed), and nothing else."""
    injected = "injected-parameters"  # papermill's tag of the cell that changes a chapter's parameters
    cells = [cell for cell in notebook.cells if injected not in cell.metadata.get("tags", [])]
    for cell, executed in zip(text.cells, cells, strict=True):
        if cell.cell_type == "code":
            cell["execution_count"] = executed.execution_count
            cell["outputs"] = merge_streams(executed.outputs)
    text.metadata.pop("jupytext", None)  # pairing is one way, from text to notebook
    text.metadata["language_info"] = {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"}
    text["nbformat"], text["nbformat_minor"] = 4, 5
    nbformat.validate(text)
    return text


def merge_streams(outputs):
    """Join neighbouring pieces of one stream: where a kernel cuts what is printed depends on the moment."""
    merged = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def describe_failure(path, error):
    """Return one paragraph that names chapter, cell and error."""
    if not isinstance(error, PapermillExecutionError):
        return f"{path.stem}: {type(error).__name__}: {error}"
    first_line = error.source.strip().partition("\n")[0]
    return f"{path.stem}: cell [{error.exec_count}], starting with\n    {first_line}\n{error.ename}: {error.evalue}"


def execute_chapter(path, output, parameters):
    """Execute one chapter into the folder `output`; return seconds and, where it failed, what went wrong.

    `parameters` replace names of the chapter's first cell.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        source, result = Path(scratch, "source.ipynb"), Path(scratch, "result.ipynb")
        nbformat.write(read_chapter(path), source)
        for attempt in (1, 2):
            try:
                papermill.execute_notebook(
                    source, result, parameters, cwd=CHAPTERS, kernel_name="python3", progress_bar=False
                )
                break
            except Exception as error:
                # Kernels that start at the same moment can be given the same port; a second start cures it.
                if attempt == 1 and any(sign in str(error) for sign in KERNEL_START_FAILED):
                    continue
                return time.perf_counter() - start, describe_failure(path, error)
        notebook = remove_run_noise(nbformat.read(result, as_version=4), read_chapter(path))
    unfinished = output / f".{path.stem}.ipynb"
    nbformat.write(notebook, unfinished)
    unfinished.replace(output / f"{path.stem}.ipynb")
    return time.perf_counter() - start, None


def record_seconds(seconds):
    """Keep how long each chapter took, for the book's page of benchmarks, beside those that were not run now."""
    file = ROOT / "build" / "seconds.json"
    names = {path.stem for path in find_chapters()}
    kept = {name: taken for name, taken in (read_seconds(file) | seconds).items() if name in names}
    replace_text(file, json.dumps(kept, indent=1))


def read_seconds(file):
    """Return {chapter: seconds} as recorded, empty where there is no such record or it can't be read."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    taken = known.items() if isinstance(known, dict) else []
    return {chapter: seconds for chapter, seconds in taken if isinstance(seconds, int | float)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="how a chapter's name starts (default: all chapters)")
    parser.add_argument("--output", type=Path, default=CHAPTERS, help="folder for the executed notebooks")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="chapters at a time (default: one per core)")
    parser.add_argument("--seed", type=int, help="another seed than the chapters' own, to see what hangs on it")
    arguments = parser.parse_args()
    if arguments.seed is not None and arguments.output == CHAPTERS:
        parser.error("--seed needs an --output: committed outputs are those of the chapters' own seeds")

    chapters = find_chapters(arguments.names)
    arguments.output.mkdir(parents=True, exist_ok=True)
    prepare_environment()
    look_for_data(chapters)
    parameters = {} if arguments.seed is None else {"seed": arguments.seed}
    seconds, failures = {}, []
    # Fresh processes, not forks: papermill runs threads, and a fork of a threaded process can hang.
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        runs = {pool.submit(execute_chapter, path, arguments.output, parameters): path for path in chapters}
        for run in tqdm(as_completed(runs), total=len(runs), desc="chapters", unit="chapter"):
            path = runs[run]
            seconds[path.stem], failure = run.result()
            if failure:
                failures.append(failure)
                tqdm.write(f"failed: {path.stem}", file=sys.stderr)
    for path in chapters:
        print(f"{seconds[path.stem]:7.1f} s  {path.stem}")
    if failures:
        raise SystemExit("\n\n".join([f"{len(failures)} of {len(chapters)} chapters failed:", *failures]))
    record_seconds(seconds)


if __name__ == "__main__":
    main()
