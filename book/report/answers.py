"""The answer of each study in one sentence, put together from its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from resperturb.analysis import study_tables
from resperturb.analysis.architectures import architecture_table
from resperturb.analysis.clock import LABELS, clock_exponents, clock_records, clock_table, collapse
from resperturb.analysis.study_tables import SIZE_NAMES, carrier_averages, carrier_exponents
from resperturb.analysis.summaries import interval, signed
from resperturb.records.record import Record, StudyRecord
from resperturb.records.sweeps import Sweep, in_a_sentence


def initialization(records: Sequence[StudyRecord]) -> str:
    laws = study_tables.initial_laws(study_tables.initial_averages(records))
    said = {name: f"{signed(law.exponent)} ({interval(law)})" for name, law in laws.items()}
    return (
        f"Before training the exponent is {said['batch-norm']} with batch normalisation, {said['plain']} without, and "
        f"{said['root']} and {said['inverse']} without it where branches are scaled by 1/√L and 1/L; where branches "
        "start at zero there is none, so that whatever a trained network shows was made by training."
    )


def lesion(records: Sequence[StudyRecord]) -> str:
    ranks = study_tables.lesion_table(records)
    scaled = ranks[ranks["score"] == "scaled"]
    half = study_tables.pruning_table(records).iloc[-1]
    data = in_a_sentence(records[0].parameters["dataset"])
    return (
        f"On {data} the rank correlation between a block's scaled perturbation and the loss that its absence adds is "
        f"{numbers(scaled['with added loss'])} at {whole(scaled['blocks'])} blocks; without the half of "
        f"{half['blocks']:.0f} blocks that perturbs least it is right on {half['scaled']:.1%} of the images, the "
        f"whole one on {half['whole']:.1%}, and one without a random half on {half['random']:.1%}."
    )


def growth(records: Sequence[StudyRecord], sweep: Sequence[Record]) -> str:
    table = study_tables.growth_table(records, sweep)
    crossing, work = table["sweep's crossing"], table["work over the sweep's"]
    return (
        f"Growing until the average is below {whole(table['epsilon'], '{:g}')} ended at {whole(table['grown to'])} "
        f"blocks on average, where the sweep crosses at {whole(crossing)}, with {whole(work, '{:.2f}')} times the work "
        "of training the sweep's depths up to its answer."
    )


def path(records: Sequence[StudyRecord]) -> str:
    depths = study_tables.path_depths(records)
    end = depths[depths["moment"] == "end"]
    means = end.groupby("blocks").mean(numeric_only=True)
    law = study_tables.fit_column(end, "blocks", "relative path")
    straight, random = means["straightness"], means["random walk"]
    return (
        f"After training, at {whole(means.index)} blocks, the net way through a section is {numbers(straight)} of the "
        f"way walked, where steps in random directions would make it {numbers(random)}; the relative length of the "
        f"whole path goes with depth to the power {signed(law.exponent)} ({interval(law)})."
    )


def text(records: Sequence[StudyRecord]) -> str:
    laws = study_tables.text_laws(study_tables.text_averages(records)).to_dict("records")
    every = {
        (law["moment"], law["part"]): f"{signed(law['exponent'])} ({signed(law['low'])} to {signed(law['high'])})"
        for law in laws
    }
    layers = sorted({record.parameters["layers"] for record in records})
    return (
        f"From {layers[0]} to {layers[-1]} layers the exponent is {every['end', 'both']} after training and "
        f"{every['initialization', 'both']} before; of attention alone {every['end', 'attention']}, of the MLP "
        f"{every['end', 'mlp']}."
    )


def numbers(values: Iterable[float]) -> str:
    return ", ".join(map(signed, values))


def whole(values: Iterable[float], form: str = "{:.0f}") -> str:
    return ", ".join(form.format(value) for value in values)


def clock_answer(results: Path | str) -> str:
    """The answer in one sentence, of every map that is there."""
    parts = []
    for folder, records in clock_records(results).items():
        exponents, apart = clock_exponents(records), collapse(clock_table(records))
        longest = exponents[exponents["epochs"] == exponents["epochs"].max()]
        ends = longest.iloc[[0, -1]].itertuples()
        said = " and ".join(f"{signed(row.exponent)} at T = {row.clock:g}" for row in ends)
        under = apart[apart["clock"] > 0]
        agreed = (
            f", where runs of one T with up to {under['steps'].max():g} times the steps end within a factor of "
            f"{under['ratio'].median():.2f} of each other in the median and of {under['ratio'].max():.2f} at most"
            if len(under)
            else ""
        )
        parts.append(f"{said} after {longest['epochs'].iloc[0]} epochs on {LABELS[folder]}{agreed}")
    return f"The exponent is {'; '.join(parts)}."


def architecture_answer(found: dict[str, Sweep]) -> str:
    """The answer in one sentence."""
    table = architecture_table(found)
    base = table[table["sweep"] == "digits"].iloc[0]
    others = table[table["sweep"] != "digits"]
    inside = others[(others["end low"] <= base["end"]) & (base["end"] <= others["end high"])]
    least, most = others.iloc[-1], others.iloc[0]
    return (
        f"The exponent after training is {base['end']:.2f} as in the other chapters and lies between {most['end']:.2f} "
        f"({most['varied']}) and {least['end']:.2f} ({least['varied']}) where one choice is varied; {len(inside)} of "
        f"{len(others)} intervals hold it."
    ).replace("-", "−")


def carried_answer(records: Sequence[StudyRecord]) -> str:
    """The answer in one sentence."""
    said = {
        row["size"]: signed(row["after"]) for row in carrier_exponents(carrier_averages(records)).to_dict("records")
    }
    return (
        f"After training the absolute perturbation goes with depth to the power {said[SIZE_NAMES['absolute']]}; the "
        f"gains of the second batch normalisation go with {said[SIZE_NAMES['gain2']]}, the weights behind it with "
        f"{said[SIZE_NAMES['weight2']]}, and the norm of the state with {said[SIZE_NAMES['state']]}."
    )
