"""What starting costs: the import beyond PyTorch's own, and a whole command.

    python benchmarks/startup.py            # about two minutes; writes benchmarks/results/startup.json
    python benchmarks/startup.py --quick --output FILE    # one round

Every number is from fresh processes, which take turns, round by round, after one round that fills the file cache and
the caches of compiled sources and does not count. The import is timed in a process that has imported torch, so that
what is reported is what it adds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from common import ROOT, median_and_range, parsed, parser_of, provenance, write_result

TIMED_STATEMENT = "import resperturb"
TIMED_COMMAND = "resperturb --help"
TIMED = """
import sys, time
import torch
begun = time.perf_counter()
exec(sys.argv[1])
print(time.perf_counter() - begun)
"""


def import_once(statement: str, environment: dict[str, str]) -> float:
    """Seconds of a statement after torch's import."""
    command = [sys.executable, "-c", TIMED, statement]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def command_once(command: str, environment: dict[str, str]) -> float:
    """Seconds of a whole process."""
    words = [sys.executable, "-m", "resperturb.cli", *command.split()[1:]]
    begun = time.perf_counter()
    subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def time_all(rounds: int) -> dict[str, Any]:
    """Medians over rounds of the statement and of the command."""
    # Compiled sources are kept between processes, as they are for a user, whatever this environment says.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    taken = [
        (import_once(TIMED_STATEMENT, environment), command_once(TIMED_COMMAND, environment)) for _ in range(rounds + 1)
    ]
    imports, commands = (median_and_range(list(seconds)) for seconds in zip(*taken[1:], strict=True))
    return {
        "rounds": rounds,
        "imports": [{"statement": TIMED_STATEMENT, "seconds_beyond_torch": imports}],
        "commands": [{"command": TIMED_COMMAND, "seconds": commands}],
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
