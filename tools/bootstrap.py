"""Put a pinned uv into .tools/, leaving the system Python as it is: `python3 tools/bootstrap.py VERSION`.

Standard library only, and readable by an old Python 3 too, so that one gets a clear message.
"""

import os
import subprocess
import sys

OLDEST, NEWEST = (3, 11), (3, 13)


def refusal(version):
    """Why a Python of this (major, minor) can't be used, "" where it can."""
    if OLDEST <= version <= NEWEST:
        return ""
    found = ".".join(map(str, version))
    return (
        f"error: the course needs Python 3.11, 3.12 or 3.13, but {sys.executable} is {found}.\n"
        "Where another one is installed, name it: make PYTHON=python3.12 ..."
    )


def main(uv_version):
    """Make the environment .tools and install uv into it; ends the process with an error code where that fails."""
    wrong = refusal(sys.version_info[:2])
    if wrong:
        sys.exit(wrong)
    tools = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ".tools")
    if subprocess.run([sys.executable, "-m", "venv", tools]).returncode:
        sys.exit(f"error: `{sys.executable} -m venv` failed; on Debian and Ubuntu: apt install python3-venv")
    python = os.path.join(tools, "Scripts" if os.name == "nt" else "bin", "python")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={uv_version}"]
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main(sys.argv[1])
