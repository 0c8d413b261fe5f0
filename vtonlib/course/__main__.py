"""`python -m vtonlib.course COMMAND`: build, run, prove, lint the notebooks; write the README's table.

Errors in what is asked for end with one line and exit code 2, failed notebooks and complaints with exit code 1.
"""

from __future__ import annotations

import argparse
import sys

from vtonlib.course.profiles import PROFILES, default_profile


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    main = argparse.ArgumentParser(prog="python -m vtonlib.course", description=__doc__.split("\n")[0])
    commands = main.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--nb", help='only notebooks whose number or name starts so, e.g. "06"')
        return added

    build = command("build", "write solved notebooks to build/solved and exercises to notebooks/exercises")
    build.add_argument("--check", action="store_true", help="write nothing; exit 1 where a product is out of step")
    run = command("run", "execute the notebooks")
    run.add_argument("--profile", choices=list(PROFILES), default=default_profile("laptop"))
    run.add_argument("--out", help="folder of the executed notebooks (default build/notebooks/PROFILE)")
    run.add_argument("--record", action="store_true", help="note time and memory in notebooks/timings.toml")
    run.add_argument("--commit", action="store_true", help="copy to notebooks/ (profile laptop); implies --record")
    prove = command("prove", "prove the exercises: solved = full, blank = zero, one blank loses only its own")
    prove.add_argument("--no-cache", action="store_true", help="also what was proven before and has not changed")
    command("lint", "check the notebooks against the rules of notebooks/src/README.md")
    commands.add_parser("table", help="write the table of notebooks, time and memory into the README")
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run a command. -> exit code."""
    asked = parser().parse_args(arguments)
    try:
        return COMMANDS[asked.command](asked)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _build(asked) -> int:
    from vtonlib.course.build import build, out_of_step

    if asked.check:
        return _report(out_of_step())
    for path in build(asked.nb):
        print(path.stem)
    return 0


def _run(asked) -> int:
    from vtonlib.course.execute import run
    from vtonlib.course.report import record

    runs = run(asked.nb, profile=asked.profile, out=asked.out, commit=asked.commit)
    if asked.record or asked.commit:
        record(runs, asked.profile)
    return int(any(item.failure for item in runs))


def _prove(asked) -> int:
    from vtonlib.course.prove import prove

    return int(any(prove(asked.nb, cache=not asked.no_cache).values()))


def _lint(asked) -> int:
    from vtonlib.course.build import NOTEBOOKS, read_source, sources
    from vtonlib.course.lint import lint_executed, lint_exercises, lint_style

    complaints = []
    for path in sources(asked.nb):
        notebook, executed = read_source(path), NOTEBOOKS / f"{path.stem}.ipynb"
        found = lint_exercises(notebook) + lint_style(notebook, path.stem)
        found += lint_executed(executed) if executed.exists() else ["not executed yet: run it with --commit"]
        complaints += [f"{path.stem}: {complaint}" for complaint in found]
    return _report(complaints)


def _table(asked) -> int:
    from vtonlib.course.report import update_readme

    update_readme()
    return 0


def _report(complaints: list[str]) -> int:
    print(*complaints, sep="\n") if complaints else print("all in order")
    return int(bool(complaints))


COMMANDS = {"build": _build, "run": _run, "prove": _prove, "lint": _lint, "table": _table}

if __name__ == "__main__":
    sys.exit(main())
