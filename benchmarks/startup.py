"""What starting costs: imports beyond PyTorch's own, and whole commands.

    python benchmarks/startup.py            # about two minutes; writes benchmarks/results/startup.json
    python benchmarks/startup.py --quick --output FILE    # one round

Every number is from fresh processes: statements and commands take turns, round by round, after one round that fills the
file cache and the caches of compiled sources and does not count. An import is timed in a process that has imported
torch, so that what is reported is what it adds; the packages it brought in are listed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from common import ROOT, median_and_range, parsed, parser_of, provenance, write_result

TIMED_STATEMENTS = (
    "import resperturb",
    "from resperturb import Experiment",
    "from resperturb import load_records",
    "from resperturb import measure",
    "from resperturb import run",
    "from resperturb import figures",
)
TIMED_COMMANDS = ("resperturb --help", "resperturb run --help", "resperturb report results/shipped-digits")
WATCHED = ("pandas", "sklearn", "scipy", "torchvision", "matplotlib")
TIMED = """
import json, sys, time
begun = time.perf_counter()
import torch
between = time.perf_counter()
exec(sys.argv[1])
ended = time.perf_counter()
brought = [name for name in sys.argv[2:] if name in sys.modules]
print(json.dumps({"torch": between - begun, "beyond": ended - between, "brought": brought}))
"""


def import_once(statement: str, environment: dict[str, str]) -> dict[str, Any]:
    """Seconds of torch's import and of the statement after it, and the watched packages that are then loaded."""
    command = [sys.executable, "-c", TIMED, statement, *WATCHED]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def command_once(command: str, environment: dict[str, str]) -> float:
    """Seconds of a whole process."""
    words = [sys.executable, "-m", "resperturb.cli", *command.split()[1:]]
    begun = time.perf_counter()
    subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def time_all(rounds: int) -> dict[str, Any]:
    """Medians over rounds for every statement and command."""
    imports: dict[str, list[dict[str, Any]]] = {statement: [] for statement in TIMED_STATEMENTS}
    commands: dict[str, list[float]] = {command: [] for command in TIMED_COMMANDS}
    # Compiled sources are kept between processes, as they are for a user, whatever this environment says.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(rounds + 1):
        for statement, taken in imports.items():
            taken.append(import_once(statement, environment))
        for command, seconds in commands.items():
            seconds.append(command_once(command, environment))
    counted = {statement: taken[1:] for statement, taken in imports.items()}
    return {
        "rounds": rounds,
        "torch_seconds": median_and_range([once["torch"] for taken in counted.values() for once in taken]),
        "imports": [
            {
                "statement": statement,
                "seconds_beyond_torch": median_and_range([once["beyond"] for once in taken]),
                "brought": taken[0]["brought"],
            }
            for statement, taken in counted.items()
        ],
        "commands": [
            {"command": command, "seconds": median_and_range(taken[1:])} for command, taken in commands.items()
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("startup", str(__doc__))
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    options = parsed(parser, arguments)
    result = provenance(options.quick)
    result |= time_all(1 if options.quick else options.rounds)
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
