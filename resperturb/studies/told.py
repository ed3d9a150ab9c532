"""What a chapter says of a study's records: where they are, what they cost, how to make them again."""

from __future__ import annotations

from collections.abc import Sequence

from resperturb.claims import stale_words
from resperturb.plans import load_plan, study_names
from resperturb.records import Record
from resperturb.studies.kept import StudyRecord


def records_of_runs(records: Sequence[StudyRecord]) -> str:
    """Folder, number of runs, and how many of them are stale."""
    stale = stale_words(sum(not record.fresh for record in records))
    folder = records[0].folder.parent.name
    return f"results/{folder} ({', '.join(filter(None, (f'{len(records)} runs', stale)))})"


def time_of(records: Sequence[Record | StudyRecord]) -> str:
    """What runs took in all, on how many threads, and on which processors."""
    minutes = sum(record.run["wall_seconds"] for record in records) / 60
    threads = sorted({record.run["provenance"]["threads"] for record in records})
    processors = sorted({record.run["provenance"]["processor"] for record in records})
    each = f"{', '.join(map(str, threads))} {'thread' if threads == [1] else 'threads'} a run"
    return f"{len(records)} runs took {minutes:.1f} minutes in all ({each}; {', '.join(processors)})."


def cost_of(records: Sequence[StudyRecord]) -> str:
    """What the runs took in all, in Markdown, with the command that makes them again."""
    folder, said = records[0].folder.parent.name, time_of(records)
    if folder not in study_names():
        return said
    plan = load_plan(folder)
    words = " ".join(f"-p {name} {value}" for name, value in plan.runs[-1].parameters.items())
    return (
        f"{said} All of them again: `make sweep PRESET={folder}`. One of them: "
        f"`papermill notebooks/{plan.notebook}.ipynb out.ipynb {words}`."
    )
