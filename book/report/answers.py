"""The answer of each study in one sentence, put together from its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resperturb.claims import interval, signed
from resperturb.records import Record
from resperturb.studies import compared
from resperturb.studies.kept import StudyRecord
from resperturb.sweeps import in_a_sentence


def initialization(records: Sequence[StudyRecord]) -> str:
    laws = compared.initial_laws(compared.initial_averages(records))
    said = {name: f"{signed(law.exponent)} ({interval(law)})" for name, law in laws.items()}
    return (
        f"Before training the exponent is {said['batch-norm']} with batch normalisation, {said['plain']} without, and "
        f"{said['root']} and {said['inverse']} without it where branches are scaled by 1/√L and 1/L; where branches "
        "start at zero there is none, so that whatever a trained network shows was made by training."
    )


def lesion(records: Sequence[StudyRecord]) -> str:
    ranks = compared.lesion_table(records)
    scaled = ranks[ranks["score"] == "scaled"]
    half = compared.pruning_table(records).iloc[-1]
    data = in_a_sentence(records[0].parameters["dataset"])
    return (
        f"On {data} the rank correlation between a block's scaled perturbation and the loss that its absence adds is "
        f"{numbers(scaled['with added loss'])} at {whole(scaled['blocks'])} blocks; without the half of "
        f"{half['blocks']:.0f} blocks that perturbs least it is right on {half['scaled']:.1%} of the images, the "
        f"whole one on {half['whole']:.1%}, and one without a random half on {half['random']:.1%}."
    )


def growth(records: Sequence[StudyRecord], sweep: Sequence[Record]) -> str:
    table = compared.growth_table(records, sweep)
    crossing, work = table["sweep's crossing"], table["work over the sweep's"]
    return (
        f"Growing until the average is below {whole(table['epsilon'], '{:g}')} ended at {whole(table['grown to'])} "
        f"blocks on average, where the sweep crosses at {whole(crossing)}, with {whole(work, '{:.2f}')} times the work "
        "of training the sweep's depths up to its answer."
    )


def path(records: Sequence[StudyRecord]) -> str:
    depths = compared.path_depths(records)
    end = depths[depths["moment"] == "end"]
    means = end.groupby("blocks").mean(numeric_only=True)
    law = compared.law_over(end, "blocks", "relative path")
    straight, random = means["straightness"], means["random walk"]
    return (
        f"After training, at {whole(means.index)} blocks, the net way through a section is {numbers(straight)} of the "
        f"way walked, where steps in random directions would make it {numbers(random)}; the relative length of the "
        f"whole path goes with depth to the power {signed(law.exponent)} ({interval(law)})."
    )


def text(records: Sequence[StudyRecord]) -> str:
    laws = compared.text_laws(compared.text_averages(records)).to_dict("records")
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
