"""Run many variants of one notebook's code in one warm process: `python -m vtonlib.course.worker RUNS RESULTS`.

RUNS is a JSON list of {"strict": bool, "cells": [source, ...]}; RESULTS gets a JSON list, for each run a list with each
cell's outputs in nbformat's shape. Every run starts with an empty namespace; imported modules stay, which is what makes
the second run quick. A cell that fails does not stop the ones below, as when nbgrader grades.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path


class ErrorStream:
    """Context manager: what is written to file descriptor 2, by Python or C++ code, since it was last asked."""

    def __enter__(self) -> ErrorStream:
        self._file, self._before, self._read = tempfile.TemporaryFile(), os.dup(2), 0
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(self, *error) -> None:
        sys.stderr.flush()
        os.dup2(self._before, 2)
        os.close(self._before)
        self._file.close()

    def take(self) -> str:
        sys.stderr.flush()
        end = os.fstat(self._file.fileno()).st_size  # the offset is shared with the writers: never seek
        text = os.pread(self._file.fileno(), end - self._read, self._read)
        self._read = end
        return text.decode(errors="replace")


def run_cell(shell, source: str, errors: ErrorStream) -> list[dict]:
    """Outputs of one cell: error, stderr stream and execute_result, as far as they occur."""
    from IPython.utils.capture import capture_output

    # Only stdout and displays are captured here: stderr reaches file descriptor 2, with that of C++ code.
    with capture_output(stdout=True, stderr=False, display=True):
        result = shell.run_cell(source, store_history=False)
    outputs = []
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        outputs.append({"output_type": "error", "ename": type(error).__name__, "evalue": str(error)})
    text = errors.take()
    if text:
        outputs.append({"output_type": "stream", "name": "stderr", "text": text})
    if result.result is not None:
        outputs.append({"output_type": "execute_result", "data": {"text/plain": repr(result.result)}})
    return outputs


def run_all(runs: list[dict]) -> list[list[list[dict]]]:
    """Outputs of every cell of every run."""
    from IPython.core.interactiveshell import InteractiveShell

    shell, results = InteractiveShell.instance(), []
    with ErrorStream() as errors:
        for run in runs:
            shell.reset(new_session=False)
            shell.user_ns["__spec__"] = None  # as in a kernel: processes that cells start look for it
            os.environ.pop("NBGRADER_EXECUTION", None)
            if run["strict"]:
                os.environ["NBGRADER_EXECUTION"] = "autograde"
            results.append([run_cell(shell, source, errors) for source in run["cells"]])
    return results


if __name__ == "__main__":
    results = run_all(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(results), encoding="utf-8")
