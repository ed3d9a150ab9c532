"""Tables of sweeps: exponents beside the claimed ones with a verdict, averages by depth, and stopping depths.

A claim is about an exponent: Hauser (2019) reports that after training the average scaled perturbation is "roughly
inversely proportional" to the number of blocks (exponent -1); theory gives -1/2 at initialisation with batch
normalisation (De & Smith 2020). "Roughly" has no number in the paper. Ours: within 0.15 of the claimed exponent.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.curves import by_range
from resperturb.analysis.power_law import PowerLaw, fit_power_law, stopping_depth
from resperturb.errors import ScalingError
from resperturb.records.record import Record, summary
from resperturb.records.sweeps import KINDS, Sweep

ROUGHLY = 0.15  # an exponent this near the claimed one is "roughly" it; the paper names no tolerance
CLAIMED_EXPONENTS = {"initialization": -0.5, "end": -1.0}
SOURCE = {"initialization": "De & Smith 2020", "end": "Hauser 2019"}


def signed(value: float) -> str:
    """A number with two digits after the point and a minus sign that is no hyphen."""
    return f"{value:.2f}".replace("-", "−")


def interval(law: PowerLaw) -> str:
    """The exponent's interval in words, with enough digits to tell its ends apart."""
    digits = 2 if law.high - law.low >= 0.02 else 3
    return f"{law.low:.{digits}f} to {law.high:.{digits}f}".replace("-", "−")


def covered(law: PowerLaw) -> str:
    """The sources of variation in a fit's interval, in words."""
    parts = (["seeds"] if law.averages.seeds_resampled else []) + ["images"] + (["depths"] if law.scatter else [])
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def verdict(law: PowerLaw, claimed: float, ranges: Iterable[float] = ()) -> str:
    """Judge whether an exponent is the claimed one, in one of four phrases.

    holds: the whole interval lies within ROUGHLY of the claimed value, and holds it. Holds roughly: it lies within
    ROUGHLY of it, and does not hold it. Does not hold: it lies outside that. Cannot be told: anything between, and
    wherever the exponent of a range of depths says otherwise.

    Args:
        law: the fit over all depths.
        claimed: the exponent in question.
        ranges: fitted exponents over the depths from each one on.
    """
    near = [abs(exponent - claimed) <= ROUGHLY for exponent in ranges]
    if claimed - ROUGHLY <= law.low and law.high <= claimed + ROUGHLY and all(near):
        return "holds" if law.low <= claimed <= law.high else "holds roughly"
    if (law.high < claimed - ROUGHLY or law.low > claimed + ROUGHLY) and not any(near):
        return "does not hold"
    return "cannot be told"


def laws_by_moment(records: Sequence[Record], fit: Callable[..., PowerLaw] = fit_power_law) -> dict[str, PowerLaw]:
    """Fit the power laws before and after training, by moment; branches that start at f = 0 have none before."""
    laws = {}
    for moment in CLAIMED_EXPONENTS:
        with contextlib.suppress(ScalingError):
            laws[moment] = fit(records, moment=moment)
    return laws


def exponent_table(sweeps: Mapping[str, Sweep]) -> pd.DataFrame:
    """One row a sweep and moment: the fitted exponent with its interval, the claimed one, and the verdict."""
    rows = []
    for name, sweep in sweeps.items():
        for moment, law in laws_by_moment(sweep.records).items():
            claimed = CLAIMED_EXPONENTS[moment]
            ranges = by_range(sweep.records, moment=moment, replicates=2)
            rows.append(
                {
                    "sweep": name,
                    "dataset": sweep.dataset,
                    "block": KINDS[sweep.block],
                    "moment": moment,
                    "depths": f"{law.averages.depths[0]} to {law.averages.depths[-1]}",
                    "runs": int(law.averages.runs.sum()),
                    **law.columns,
                    "interval": interval(law),
                    "interval over": covered(law),
                    "deeper alone": ranges["exponent"].iloc[-1],
                    "from": ranges["from"].iloc[-1],
                    "claimed": claimed,
                    "source": SOURCE[moment],
                    "verdict": verdict(law, claimed, ranges["exponent"]),
                }
            )
    return pd.DataFrame(rows)


def depth_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a depth: means over seeds of averages, blocks x average, and accuracy (diverged runs left out)."""
    table = (
        summary(finished(records))
        .groupby("blocks")
        .agg(
            runs=("seed", "count"),
            accuracy=("accuracy", "mean"),
            scaled_initialization=("scaled_initialization", "mean"),
            scaled_end=("scaled_end", "mean"),
            absolute_initialization=("absolute_initialization", "mean"),
            absolute_end=("absolute_end", "mean"),
            clock=("clock", "mean"),
            seconds=("wall_seconds", "mean"),
        )
    )
    table.insert(4, "product_end", table.index * table["scaled_end"])
    return table.reset_index()


def stopping_table(records: Sequence[Record], epsilons: Iterable[float]) -> pd.DataFrame:
    """One row an epsilon: the depth, its interval, whether measured, and the accuracy at that depth.

    An epsilon without an answer (the average does not fall, and no measured depth is below) has no row.
    """
    accuracy = depth_table(records).set_index("blocks")["accuracy"]
    rows = []
    for epsilon in epsilons:
        try:
            found = stopping_depth(epsilon, records)
        except ScalingError:
            continue
        rows.append(
            {
                "epsilon": epsilon,
                "depth": found.depth,
                "crossing": found.crossing,
                "low": found.low,
                "high": found.high,
                "how": "measured" if found.measured else "extrapolated",
                "not yet below at": found.above,
                "accuracy there": accuracy.get(found.depth) if found.measured else None,
            }
        )
    return pd.DataFrame(rows)


def epsilons_of(records: Sequence[Record]) -> list[float]:
    """Thresholds for a sweep, the largest first, of one digit each: between the measured averages, and one below."""
    averages = depth_table(records)["scaled_end"].to_numpy()
    between = {float(f"{(a * b) ** 0.5:.1g}") for a, b in itertools.pairwise(averages)}
    return sorted({*between, float(f"{averages[-1] / 2:.1g}")}, reverse=True)
