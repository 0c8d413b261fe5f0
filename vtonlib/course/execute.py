"""Execute the notebooks with papermill: time and peak memory of each, an HTML index, and what failed where."""

from __future__ import annotations

import html
import os
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vtonlib.course.build import BUILD, NOTEBOOKS, read_source, sources, to_text, write_text
from vtonlib.course.profiles import PROJECT, ensure_data
from vtonlib.course.profiles import profile as profile_named

CELL_TIMEOUT = {"smoke": 300, "laptop": 1200, "gpu": 7200}  # seconds; papermill's own default is forever


@dataclass(frozen=True, kw_only=True)
class Run:
    """One executed notebook: seconds, peak memory in MB (kernel and its children), and what failed ("" = nothing)."""

    stem: str
    seconds: float
    megabytes: float
    failure: str = ""


def run(
    select: str | None = None, *, profile: str = "laptop", out: Path | None = None, commit: bool = False,
    notebooks: Path = NOTEBOOKS, data: bool = True,
) -> list[Run]:  # fmt: skip
    """Execute notebooks one after the other, print a line each, a table and the path of the HTML index.

    select: number or start of a name, None for all. out: folder of the executed notebooks, build/notebooks/PROFILE.
    commit: copy those that succeeded to `notebooks`, without papermill's traces (laptop only: the profile that the
    parameters cells name). data: write the profile's studio data set first where it is missing.
    Raises ValueError for an unknown profile or notebook.
    """
    chosen, paths = profile_named(profile), sources(select, folder=notebooks / "src")
    if commit and profile != "laptop":
        raise ValueError(
            f"--commit expects the profile laptop, got {profile}: what stands in the notebooks is its output"
        )
    out = Path(out or BUILD / "notebooks" / profile)
    if data:
        ensure_data(chosen)
    width, runs = max(len(path.stem) for path in paths), []
    for path in paths:
        print(f"{path.stem:{width}s} ... ", end="", flush=True)
        runs.append(_run_one(path, out / f"{path.stem}.ipynb", profile, cwd=notebooks))
        print(f"{_result(runs[-1])} in {runs[-1].seconds:.0f} s", flush=True)
        if commit and not runs[-1].failure:
            write_text(notebooks / f"{path.stem}.ipynb", committed_text(out / f"{path.stem}.ipynb"))
    print(f"\n{table(runs)}\n")
    for item in runs:
        if item.failure:
            print(f"FAILED {item.stem}: {item.failure}\n")
    print(f"index of the executed notebooks: {write_html(runs, out)}")
    return runs


def _run_one(source: Path, target: Path, profile: str, *, cwd: Path) -> Run:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    target.parent.mkdir(parents=True, exist_ok=True)
    solved = BUILD / "solved" / source.name.replace(".py", ".ipynb")
    write_text(solved, to_text(read_source(source)))
    start, failure = time.perf_counter(), ""
    with quiet_kernels(), PeakMemory() as memory:
        try:
            if "PROFILE" not in papermill.inspect_notebook(str(solved)):
                raise ValueError(f"{source.name}: no cell tagged `parameters` assigns PROFILE")
            papermill.execute_notebook(
                str(solved), str(target), parameters={"PROFILE": profile}, kernel_name="python3", progress_bar=False,
                cwd=str(cwd), start_timeout=120, execution_timeout=CELL_TIMEOUT[profile],
                request_save_on_cell_execute=True,
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            failure = describe_failure(target, f"{error.ename}: {error.evalue}")
        except CellTimeoutError:
            failure = describe_failure(target, f"took longer than {CELL_TIMEOUT[profile]} s")
        except DeadKernelError:
            failure = describe_failure(target, "the kernel died (out of memory?)")
    return Run(stem=source.stem, seconds=time.perf_counter() - start, megabytes=memory.peak / 1e6, failure=failure)


def describe_failure(executed: Path, error: str) -> str:
    """Name the cell of an executed notebook that failed: its index in the source, its first line, the error.

    Papermill marks a cell `failed` for a Python error only; where the kernel died or was too slow it is the last cell
    with a starting time.
    """
    import nbformat

    index, culprit = -1, ""
    for cell in nbformat.read(executed, as_version=4).cells:
        if {"injected-parameters", "papermill-error-cell-tag"} & set(cell.metadata.get("tags", [])):
            continue  # papermill's own cells: the index is that of the source
        index += 1
        noted = cell.metadata.get("papermill", {})
        if cell.cell_type == "code" and noted.get("start_time"):
            culprit = f"cell {index} (`{cell.source.strip().splitlines()[0]}`)"
        if noted.get("status") == "failed":
            break
    return f"{culprit or 'no cell'}: {error}"


class PeakMemory:
    """Context manager: largest sum of resident memory, in bytes, of the kernels below this process.

    A thread samples four times a second; pages that processes share are counted once for each.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._stop.wait(0.25):
            total = 0
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:  # it ended between being listed and being asked
                    continue
            self.peak = max(self.peak, total)


@contextmanager
def quiet_kernels():
    """Kernels started inside log errors only, and read no configuration of the user's IPython."""
    folder = BUILD / "ipython"
    write_text(folder / "profile_default" / "ipython_kernel_config.py", "c.IPKernelApp.log_level = 40\n")
    before = {name: os.environ.get(name) for name in ("IPYTHONDIR", "PYDEVD_DISABLE_FILE_VALIDATION")}
    os.environ.update(IPYTHONDIR=str(folder), PYDEVD_DISABLE_FILE_VALIDATION="1")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def committed_text(executed: Path) -> str:
    """An executed notebook as it is committed: only the source's cells; no timings, bars or paths of this machine."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    count = 0
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if not cell.metadata.get("tags", ["kept"]):
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
                if output.output_type == "stream":
                    output.text = as_on_screen(output.text)
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream" or output.text]
    return re.sub(re.escape(str(PROJECT)) + r"/?", "", to_text(notebook))


def as_on_screen(text: str) -> str:
    """What a terminal shows in the end: of each line what follows its last carriage return. A finished bar is gone."""
    return "\n".join(line.rsplit("\r", 1)[-1] for line in text.split("\n"))


def _result(item: Run) -> str:
    return "FAILED" if item.failure else "ok"


def table(runs: list[Run]) -> str:
    """Notebook, time, peak memory and result of each run, as text."""
    width = max([len(item.stem) for item in runs] + [len("notebook")])
    lines = [f"{'notebook':{width}s} {'time':>8s} {'memory':>9s}  result"]
    for item in runs:
        lines.append(f"{item.stem:{width}s} {item.seconds:6.0f} s {item.megabytes:6.0f} MB  {_result(item)}")
    total = sum(item.seconds for item in runs)
    peak = max((item.megabytes for item in runs), default=0.0)
    failed = sum(bool(item.failure) for item in runs)
    return "\n".join([*lines, f"{'all':{width}s} {total:6.0f} s {peak:6.0f} MB  {failed} failed of {len(runs)}"])


def write_html(runs: list[Run], out: Path) -> Path:
    """HTML of each executed notebook and an index of them. -> path of the index.

    Uses nbconvert's classic template: it is the one that writes the pictures' alternative text.
    """
    from nbconvert import HTMLExporter

    exporter, rows = HTMLExporter(template_name="classic"), []
    for item in runs:
        body, _ = exporter.from_filename(str(out / f"{item.stem}.ipynb"))
        write_text(out / "html" / f"{item.stem}.html", body)
        rows.append(
            f'<tr><td><a href="{item.stem}.html">{item.stem}</a></td><td>{item.seconds:.0f} s</td>'
            f"<td>{item.megabytes:.0f} MB</td><td>{_result(item)} {html.escape(item.failure)}</td></tr>"
        )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Executed notebooks</title>'
        "<style>body{font:16px sans-serif;margin:3em}td,th{padding:.3em 1.2em .3em 0;text-align:left}</style>"
        "<h1>Executed notebooks</h1><table><tr><th>notebook</th><th>time</th><th>peak memory</th><th>result</th></tr>"
        + "".join(rows)
        + "</table></html>\n"
    )
    write_text(out / "html" / "index.html", page)
    return out / "html" / "index.html"
