"""What carries the fall of the perturbation with depth: tables, a figure and rows of the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from resperturb.claims import ROUGHLY, interval, signed
from resperturb.figures import BLUE, GREEN, INK, ORANGE, depth_ticks, finished, legend_above
from resperturb.statements import OURS, Row
from resperturb.studies.compared import law_over, records_of_study
from resperturb.studies.drawn import PINK
from resperturb.studies.kept import StudyRecord, gathered

SIZES = ("scaled", "absolute", "state", "gain2", "weight2", "both")
SIZE_NAMES = {
    "scaled": "scaled perturbation",
    "absolute": "absolute perturbation",
    "state": "norm of the state",
    "gain2": "gains of the second normalisation",
    "weight2": "second weights",
    "both": "gains × weights",
}
CARRIED_STYLE: dict[str, dict[str, Any]] = {
    "absolute": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "gain2": {"color": ORANGE, "marker": "s", "linestyle": "--"},
    "weight2": {"color": GREEN, "marker": "^", "linestyle": "-."},
    "both": {"color": PINK, "marker": "D", "linestyle": ":"},
}


def carried_means(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """A row per depth, seed and moment: every size averaged over blocks; `both` is the mean of gain times weights."""
    table = gathered(records, "blocks", "blocks")
    table["both"] = table["gain2"] * table["weight2"]
    return table.groupby(["blocks", "seed", "moment"], as_index=False)[list(SIZES)].mean()


def carried_exponents(means: pd.DataFrame) -> pd.DataFrame:
    """A row per size: its exponent over depth before training, and after with the interval."""
    rows = []
    for column in SIZES:
        before, after = (law_over(means[means["moment"] == m], "blocks", column) for m in ("initialization", "end"))
        rows.append(
            {
                "size": SIZE_NAMES[column],
                "before": before.exponent,
                "after": after.exponent,
                "low": after.low,
                "high": after.high,
            }
        )
    return pd.DataFrame(rows)


def carried_figure(means: pd.DataFrame) -> Figure:
    """Sizes against depth after training, each over what it is in the shallowest network."""
    figure, axes = plt.subplots()
    end = means[means["moment"] == "end"].groupby("blocks")[list(SIZES)].mean()
    for column, style in CARRIED_STYLE.items():
        axes.plot(end.index, end[column] / end[column].iloc[0], label=SIZE_NAMES[column], markersize=5, **style)
    axes.plot(end.index, end.index[0] / end.index, color=INK, linestyle=(0, (1, 1)), linewidth=1, label="slope −1")
    axes.set(xscale="log", yscale="log", xlabel="number of blocks $L$", ylabel="over the shallowest network's")
    depth_ticks(axes, list(end.index))
    legend_above(axes, 2)
    return finished(figure)


def carried_rows(results: Path | str) -> Iterator[Row]:
    """The rows of the ledger that rest on this study."""
    records = records_of_study(results, "carriers")
    if not records:
        return
    means = carried_means(records)
    end = means[means["moment"] == "end"]
    gain, weight, both, absolute = (law_over(end, "blocks", name) for name in ("gain2", "weight2", "both", "absolute"))
    where, page = f"results/carriers ({len(records)} runs)", "carriers#gains-and-weights"
    for name, law, sentence in (
        ("gains", gain, "After training the gains of the second normalisation fall with depth."),
        ("weights", weight, "After training the second weights fall with depth."),
    ):
        word = "holds" if law.high < 0 else "does not hold" if law.low > 0 else "cannot be told"
        yield Row(f"carriers/{name}", OURS, sentence, signed(law.exponent), interval(law), word, page, where)
    for name, first, second, sentence in (
        ("shared", gain, weight, f"They fall alike: their exponents are within {ROUGHLY} of each other."),
        ("product", both, absolute, f"Their product falls as the absolute perturbation does, within {ROUGHLY}."),
    ):
        word = "holds" if abs(first.exponent - second.exponent) <= ROUGHLY else "does not hold"
        value = f"{signed(first.exponent)} and {signed(second.exponent)}"
        yield Row(f"carriers/{name}", OURS, sentence, value, interval(first), word, page, where)


def carried_answer(records: Sequence[StudyRecord]) -> str:
    """The answer in one sentence."""
    said = {row["size"]: signed(row["after"]) for row in carried_exponents(carried_means(records)).to_dict("records")}
    return (
        f"After training the absolute perturbation goes with depth to the power {said[SIZE_NAMES['absolute']]}; the gains "
        f"of the second batch normalisation go with {said[SIZE_NAMES['gain2']]}, the weights behind it with "
        f"{said[SIZE_NAMES['weight2']]}, and the norm of the state with {said[SIZE_NAMES['state']]}."
    )
