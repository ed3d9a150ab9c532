"""Equivalence of old and present code: do both give the same numbers, bit for bit, on one machine?

A change of deciding code makes records stale, but most changes, such as a new name, change no result. So both codes
conduct every setting of runs and studies, on file or in a preset, at a size of seconds. Training amplifies the smallest
difference, so equal numbers were computed alike. If all settings agree, results/equivalent.json gets the pair of hashes
with these settings; records of other settings stay stale.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from resperturb.errors import ExperimentError
from resperturb.experiment.experiment import Experiment, without_removed
from resperturb.experiment.presets import sweep_names
from resperturb.records.freshness import EQUIVALENT, PACKAGE, SIZE_PARAMETERS, read_comparisons, settings_hash
from resperturb.records.merge import results_in
from resperturb.records.provenance import ask_git, versions
from resperturb.records.record import read_record, records_in
from resperturb.studies.plan import load_plan, study_class, study_names
from resperturb.training.data import data_folder

CODE = ("resperturb", "notebooks", "config")  # folders of a checkout
Case = tuple[str, dict[str, Any]]  # kind of record, parameters


def verify(revisions: Sequence[str], results: Path, report: Callable[[str], None] = print) -> bool:
    """Compare the present code with the code of commits, and enter each commit without differences.

    Returns:
        Whether no commit differs.

    Raises:
        ExperimentError: no such commit, or code that cannot run.
    """
    cases = {
        (kind, settings_hash(given)): (kind, shrink(without_removed(given))) for kind, given in parameters_in(results)
    }
    with tempfile.TemporaryDirectory() as place:
        codes = [checkout(revision, Path(place, f"code-{number}")) for number, revision in enumerate(revisions)]
        codes.append(Path(place, "present"))
        for folder in CODE:
            shutil.copytree(PACKAGE.parent / folder, codes[-1] / folder)
        processes = [start_cases(code, list(cases.values())) for code in codes]
        failures = [process.wait() for process in processes]  # all, before their folder is deleted
        if any(failures):
            raise ExperimentError("the code of a commit cannot run; see its error above.")
        old = zip(revisions, codes[:-1], strict=True)
        alike = [compare_codes(revision, code, codes[-1], list(cases), results, report) for revision, code in old]
    return all(alike)


def parameters_in(results: Path) -> Iterator[Case]:
    """Yield kind and parameters of every record on file and every run in a preset."""
    if not results.is_dir():
        raise ExperimentError(f"results must be the folder of all sweeps, but {str(results)!r} is no folder.")
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        yield from ((record.kind, record.settings) for record in records_in(folder))
    for plan in map(load_plan, (*sweep_names(), *study_names())):
        for run in plan.runs:
            if plan.notebook == "sweep":
                yield "run", Experiment.from_mapping(run.parameters).settings
            else:
                yield plan.notebook, study_class(plan.notebook).from_mapping(run.parameters).identity


def shrink(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Shrink settings to seconds: two epochs of two steps, few images, sections of unequal length."""
    batch = parameters.get("batch_size", 64)
    sizes = {
        "blocks": parameters.get("sections", 1) + 2 if parameters.get("blocks") else 0,
        "epochs": 2,
        "train_size": min(2 * batch + 3, parameters.get("train_size") or batch),
        "test_size": 32,
        "measured_images": 32,
        "seed": 0,
        "depths": [3, 9, 200],
        "layers": 2,
        "steps": 5,
        "measured_sequences": 4,
        "network": "resnet20",
        "threads": 1,
    }
    return {**parameters, **{name: sizes[name] for name in parameters if name in SIZE_PARAMETERS}}


def checkout(revision: str, folder: Path) -> Path:
    """Extract the code of a commit into a new folder."""
    folder.mkdir()
    archive = folder / "code.tar"
    commit = ask_git(PACKAGE, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    if not commit:
        raise ExperimentError(f"{revision} is no commit to compare with; name one that git log lists in a checkout.")
    command = ["git", "archive", "--output", str(archive), commit, *CODE]
    subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, check=True)
    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
    return folder


def start_cases(code: Path, cases: Sequence[Case]) -> subprocess.Popen[bytes]:
    """Start a process that conducts all cases with the code of a folder."""
    (code / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    settings = {"PYTHONPATH": str(code), "RESPERTURB_DATA": str(data_folder()), "MPLBACKEND": "agg"}
    environment = {**os.environ, **settings, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", f"{inspect.getsource(conduct_cases)}\nconduct_cases()"]
    return subprocess.Popen(command, cwd=code, env=environment, stdout=subprocess.DEVNULL)


def conduct_cases() -> None:
    """Conduct the cases of cases.json with the notebooks of the working folder, and record all digits.

    Another commit's package runs this function from its source text, so it uses nothing else of this module.
    """
    import json
    from pathlib import Path

    import pandas as pd

    to_csv = pd.DataFrame.to_csv
    pd.DataFrame.to_csv = lambda *given, **named: to_csv(*given, **{**named, "float_format": None})  # type: ignore
    for number, (kind, parameters) in enumerate(json.loads(Path("cases.json").read_text())):
        names: dict[str, object] = {}
        try:
            text = Path("notebooks", f"{'sweep' if kind == 'run' else kind}.ipynb").read_text(encoding="utf-8")
            for cell in (cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"):
                exec("".join(cell["source"]), names)
                if "parameters" in cell["metadata"].get("tags", []):
                    names |= {**parameters, "results": f"records/{number}", "threads": 1}
                if "record" in names:
                    break
        except (OSError, ValueError) as error:  # every error of ours is a ValueError
            Path(f"{number}.txt").write_text(str(error), encoding="utf-8")


def compare_codes(
    revision: str, old: Path, new: Path, cases: Sequence[tuple[str, str]], results: Path, report: Callable[[str], None]
) -> bool:
    """Compare the records of two codes, and enter their hashes if nothing differs; cases that the old code refuses do
    not count."""
    same: dict[tuple[str, str, str], list[str]] = {}
    differing = 0
    for number, (kind, settings) in enumerate(cases):
        before, after = record_facts(old, number), record_facts(new, number)
        found = next((name for name in before if name != "hash" and before[name] != after.get(name)), None)
        if "refused" in before:
            report(f"{revision} {kind} {settings} is left out: {before['refused']}")
        elif found:
            differing += 1
            report(f"{revision} {kind} {settings} differs: {found} {after.get('refused', '')}")
        else:
            same.setdefault((kind, str(before["hash"]), str(after["hash"])), []).append(settings)
    report(f"{revision}: {sum(map(len, same.values()))} settings give the same numbers, {differing} others")
    if not differing:
        enter(results, same, f"bit for bit, the code of {revision} and of its day on one machine")
    return not differing


def record_facts(code: Path, number: int) -> dict[str, Any]:
    """Return all contents of a record except costs as text: values of run.json and columns of tables, by name."""
    if (refusal := code / f"{number}.txt").is_file():
        return {"refused": refusal.read_text(encoding="utf-8")}
    (path,) = code.glob(f"records/{number}/*/run.json")
    return {"hash": read_record(path.parent).run["provenance"]["source_hash"], **results_in(path.parent)}


def enter(results: Path, same: Mapping[tuple[str, str, str], list[str]], shown: str) -> None:
    """Add pairs of hashes to equivalent.json."""
    register = read_comparisons(results)
    for (kind, old, new), settings in same.items():
        entry = {"hashes": [old, new], "settings": settings, "shown": shown, "versions": versions()}
        if old != new and entry not in register.setdefault(kind, []):
            register[kind].append(entry)
    (results / EQUIVALENT).write_text(json.dumps(register, indent=1) + "\n", encoding="utf-8")
