"""Checks that notebooks and exercises are made of: a tick or a cross, one line of evidence, bands for the numbers.

Soft in the room, strict in the grader: `Check` prints a cross and goes on, so that Run All reaches the end; it raises
where NBGRADER_EXECUTION is set (nbgrader sets it) or VTON_STRICT=1. Everything is printed to stdout, as anything on
stderr costs a graded cell all its points.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from vtonlib.course.profiles import PROJECT

BANDS = PROJECT / "notebooks" / "bands.toml"


def strict() -> bool:
    """Whether failed checks raise: while grading, or where VTON_STRICT=1."""
    return bool(os.environ.get("NBGRADER_EXECUTION")) or os.environ.get("VTON_STRICT") == "1"


class Check:
    """Context manager around the asserts of one check: prints a tick or a cross, raises only when `strict()`.

    >>> with Check("two and two"):
    ...     assert 2 + 2 == 4
    ✅ two and two
    """

    def __init__(self, what: str):
        self.what = what
        self.passed = False

    def __enter__(self) -> Check:
        return self

    def __exit__(self, kind, error, traceback) -> bool:
        if kind is None:
            self.passed = True
            print(f"✅ {self.what}")
            return False
        if not issubclass(kind, Exception):  # KeyboardInterrupt and the like are never swallowed
            return False
        if not strict():
            print(f"❌ {self.what}: {_explain(error)}")
        return not strict()


def _explain(error: Exception) -> str:
    if isinstance(error, NotImplementedError):
        return "not written yet"
    return str(error) if isinstance(error, AssertionError) and str(error) else f"{type(error).__name__}: {error}"


def pick(mine: Callable, reference: Callable, check: Callable[[Callable], object]) -> Callable:
    """`mine` if `check(mine)` does not raise, else `reference`, saying so. Nobody is blocked by an open exercise.

    `check` is called with the student's function and raises where it is wrong (a false return value counts as passed:
    use assert). Never raises itself, also while grading: one open exercise must cost its own points only.
    """
    try:
        check(mine)
    except Exception:
        name = getattr(reference, "__name__", "reference")
        print(f"(continuing with the course's own version, {name})")
        return reference
    return mine


def compare(name: str, ours, reference, *, atol: float = 1e-5) -> None:
    """Print one line of evidence that two arrays agree, and raise AssertionError with a diagnosis where they don't.

    ours, reference: torch tensors or NumPy arrays of one shape; NaN agrees with NaN. atol: largest allowed absolute
    difference, in the arrays' own unit.
    """
    a, b = _array(ours), _array(reference)
    if a.shape != b.shape:
        hint = ": height and width swapped?" if a.shape == b.shape[:-2] + b.shape[-2:][::-1] else ""
        raise AssertionError(f"{name}: expected shape {b.shape}, got {a.shape}{hint}")
    difference = largest_difference(a, b)
    exact = "yes" if difference == 0 else "no"
    close = difference <= atol
    print(
        f"{name:28s} | exact: {exact:3s} | within {atol:g}: {'yes' if close else 'no':3s} | "
        f"largest difference {difference:.2g}"
    )
    if not close:
        raise AssertionError(f"{name}: differs by up to {difference:.3g} (allowed {atol:g}). {diagnose(a, b, atol)}")


def largest_difference(ours: np.ndarray, reference: np.ndarray) -> float:
    """Largest absolute difference of two arrays of one shape; infinite where only one of them is NaN."""
    a, b = _array(ours), _array(reference)
    if a.size == 0:
        return 0.0
    both = np.isnan(a) & np.isnan(b)
    same = both | (a == b)  # also infinities of one sign, whose difference would be NaN
    gap = np.abs(np.where(same, 0.0, a) - np.where(same, 0.0, b))
    return float(np.where(np.isnan(gap), np.inf, gap).max())


def diagnose(ours, reference, atol: float = 1e-5) -> str:
    """Name the usual mistake that would explain the difference of two arrays, or say where they differ most."""
    a, b = _array(ours), _array(reference)
    for question, candidate in _usual_mistakes(a):
        if candidate.shape == b.shape and largest_difference(candidate, b) <= atol:
            return question
    gap = np.abs(a - b)
    if np.isnan(gap).any():
        return f"{int(np.isnan(a).sum())} values are NaN, expected {int(np.isnan(b).sum())}."
    where = np.unravel_index(int(gap.argmax()), gap.shape)
    return f"Most at index {tuple(map(int, where))}: expected {b[where]:.4g}, got {a[where]:.4g}."


def _usual_mistakes(a: np.ndarray):
    """Pairs (question, what the array becomes once that mistake is undone)."""
    if a.ndim and a.shape[-1] == 2:
        yield "x and y swapped? (the last axis holds x, then y)", a[..., ::-1]
    if a.ndim >= 3 and a.shape[-3] == 2:
        yield "x and y swapped? (channel 0 is x, channel 1 is y)", np.flip(a, -3)
    if a.ndim >= 2:
        yield "rows and columns swapped? (height comes before width)", np.swapaxes(a, -1, -2)
        yield "upside down? (y grows downwards)", np.flip(a, -2)
        yield "mirrored? (x grows to the right)", np.flip(a, -1)
    if a.ndim >= 3:
        yield "channels in the wrong order? (RGB, not BGR)", np.flip(a, -3)
    yield "mask inverted? (1 is on the thing the mask is named after)", 1 - a
    yield "range [-1, 1] where [0, 1] is expected?", (a + 1) / 2
    yield "range [0, 1] where [-1, 1] is expected?", a * 2 - 1
    yield "range [0, 255] where [0, 1] is expected?", a / 255
    yield "half a pixel too large? (the centre of the first pixel is (0, 0))", a - 0.5
    yield "half a pixel too small? (the centre of the first pixel is (0, 0))", a + 0.5
    yield "the sign is the other way round?", -a


def check_bands(notebook: str, measured: Mapping[str, float], *, profile: str, path: str | Path = BANDS) -> None:
    """Print each measured number beside the band that it should lie in, and raise where one lies outside.

    The bands are data: table `[NN.profile]` of notebooks/bands.toml, one line `name = [low, high]` a number.
    Raises ValueError where the table or a name is missing on either side, AssertionError naming what lies outside.
    """
    bands = read_bands(path).get(notebook, {}).get(profile)
    numbers = {name: float(value) for name, value in measured.items()}
    if bands is None or set(bands) != set(numbers):
        lines = "\n".join(f"{name} = [{value:.4g}, {value:.4g}]" for name, value in numbers.items())
        have = "no such table" if bands is None else f"the names {sorted(bands)}"
        raise ValueError(
            f"{Path(path).name} [{notebook}.{profile}]: expected the names {sorted(numbers)}, got {have}. "
            f"Measured here, to be widened by hand:\n{lines}"
        )
    outside = []
    print(f"{'':30s} {'yours':>10s}   should lie in")
    for name, value in numbers.items():
        low, high = bands[name]
        inside = low <= value <= high  # False for NaN
        print(f"{name:30s} {value:10.4g}   [{low:g}, {high:g}] {'✅' if inside else '❌'}")
        outside += [] if inside else [name]
    if outside:
        raise AssertionError(f"notebook {notebook}, profile {profile}: outside the band: {', '.join(outside)}")


def read_bands(path: str | Path) -> dict:
    """The bands file as nested dicts notebook -> profile -> name -> [low, high]; ValueError for a malformed band."""
    bands = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    for notebook, profiles in bands.items():
        for profile, table in profiles.items():
            for name, band in table.items():
                if not (isinstance(band, list) and len(band) == 2 and band[0] <= band[1]):
                    raise ValueError(
                        f"{path} [{notebook}.{profile}] {name}: expected [low, high] with low <= high, got {band!r}"
                    )
    return bands


def _array(values) -> np.ndarray:
    """As float64 NumPy array, from a tensor on any device or anything NumPy understands."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
