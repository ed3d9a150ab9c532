"""Every quantitative sentence of the book as a value computed from records, with the paper's claim beside it.

A claim is about an exponent: Hauser (2019) reports that after training the average scaled perturbation is "roughly
inversely proportional" to the number of blocks (exponent -1); theory gives -1/2 at initialisation with batch
normalisation (De & Smith 2020). "Roughly" has no number in the paper. Ours: within 0.15 of the claimed exponent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from resperturb.presets import load_preset
from resperturb.records import Record, RecordError, load_records, summary
from resperturb.scaling import PowerLaw, ScalingError, fit_power_law, power_law, stopping_depth

ROUGHLY = 0.15  # an exponent this near the claimed one is "roughly" it; the paper names no tolerance
CLAIMED = {"initialization": -0.5, "end": -1.0}
SOURCE = {"initialization": "De & Smith 2020", "end": "Hauser 2019"}


@dataclass(frozen=True)
class Sweep:
    """The records a chapter rests on.

    `shipped` tells that they are those that came with the book, because this checkout has not run the sweep.
    """

    name: str
    records: list[Record]
    shipped: bool

    @property
    def stale(self) -> list[Record]:
        """Records made by sources that have changed since."""
        return [record for record in self.records if not record.fresh]


def default_sweep(results: Path | str, preset: str = "digits", *, own: bool = True) -> Sweep:
    """The reader's own records of the default sweep where all of them are there, else those that came with the book.

    Args:
        results: the folder of all sweeps.
        preset: the sweep's name.
        own: False for the shipped records in any case.

    Raises:
        RecordError: neither is there.
    """
    folder = Path(results) / preset
    wanted = {experiment.name for experiment in load_preset(preset).experiments()}
    if own and all((folder / name / "run.json").is_file() for name in wanted):
        return Sweep(preset, [record for record in load_records(folder) if record.name in wanted], shipped=False)
    return Sweep(preset, load_records(Path(results) / f"shipped-{preset}"), shipped=True)


def sweeps(results: Path | str, *, own: bool = True) -> dict[str, Sweep]:
    """The book's sweeps by name; those without records are left out, the default one never is."""
    found = {"digits": default_sweep(results, "digits", own=own)}
    for name in ("mnist", "cifar10"):
        try:
            found[name] = Sweep(name, load_records(Path(results) / name), shipped=True)
        except RecordError:
            continue
    return found


def signed(value: float) -> str:
    """Two digits after the point, and a minus sign that is no hyphen."""
    return f"{value:.2f}".replace("-", "−")


def interval(law: PowerLaw) -> str:
    """The exponent's interval, with enough digits to tell its ends apart."""
    digits = 2 if law.high - law.low >= 0.02 else 3
    return f"{law.low:.{digits}f} to {law.high:.{digits}f}".replace("-", "−")


def verdict(law: PowerLaw, claimed: float) -> str:
    """Whether an exponent is the claimed one, in one of four phrases.

    holds: the claimed value lies in the interval. Holds roughly: the whole interval lies within ROUGHLY of it. Does
    not hold: the whole interval lies outside that. Cannot be told: anything between.
    """
    if law.low <= claimed <= law.high and law.high - law.low < 2 * ROUGHLY:
        return "holds"
    if claimed - ROUGHLY <= law.low and law.high <= claimed + ROUGHLY:
        return "holds roughly"
    if law.high < claimed - ROUGHLY or law.low > claimed + ROUGHLY:
        return "does not hold"
    return "cannot be told"


def exponent_table(found: dict[str, Sweep]) -> pd.DataFrame:
    """A row per sweep and moment: the fitted exponent with its interval, what is claimed, and the verdict."""
    rows = []
    for name, sweep in found.items():
        for moment, claimed in CLAIMED.items():
            try:
                law = fit_power_law(sweep.records, moment=moment)
            except ScalingError:
                continue  # a single depth has no exponent
            rows.append(
                {
                    "dataset": name,
                    "moment": moment,
                    "depths": f"{law.averages.depths[0]} to {law.averages.depths[-1]}",
                    "runs": int(law.averages.runs.sum()),
                    "exponent": law.exponent,
                    "low": law.low,
                    "high": law.high,
                    "interval": interval(law),
                    "interval over": "seeds and images" if law.averages.seeds_resampled else "images",
                    "claimed": claimed,
                    "source": SOURCE[moment],
                    "verdict": verdict(law, claimed),
                }
            )
    return pd.DataFrame(rows)


def depth_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row per depth: means over seeds of averages, blocks x average, and accuracy (diverged runs left out)."""
    table = summary(records)
    table = (
        table[~table["diverged"]]
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


def carriers(scaled: np.ndarray, share: float) -> int:
    """The smallest number of blocks whose scaled perturbations together make up `share` of the sum over all blocks."""
    largest_first = np.sort(scaled)[::-1].cumsum()
    return int(np.searchsorted(largest_first, share * largest_first[-1] * (1 - 1e-12)) + 1)


def concentration_table(records: Iterable[Record], moment: str = "end") -> pd.DataFrame:
    """A row per depth: how the average is spread over the blocks, mean over seeds.

    An average that falls as 1/L can come from L blocks that each do less, or from as many busy blocks at every depth
    among ever more idle ones. The mean does not tell these apart; the median and the largest block do.
    """
    rows = []
    for record in records:
        if not record.diverged:
            table = record.at(moment)
            scaled = table.loc[table["kind"] == "identity", "scaled"].to_numpy()
            rows.append(
                {
                    "blocks": record.blocks,
                    "mean": scaled.mean(),
                    "median": np.median(scaled),
                    "largest": scaled.max(),
                    "half": carriers(scaled, 0.5),
                    "nine_tenths": carriers(scaled, 0.9),
                }
            )
    return pd.DataFrame(rows).groupby("blocks").mean().reset_index()


def stopping_table(records: Sequence[Record], epsilons: Iterable[float]) -> pd.DataFrame:
    """A row per epsilon: the depth, its interval, whether measured, and the accuracy at that depth."""
    accuracy = depth_table(records).set_index("blocks")["accuracy"]
    rows = []
    for epsilon in epsilons:
        found = stopping_depth(epsilon, records)
        rows.append(
            {
                "epsilon": epsilon,
                "depth": found.depth,
                "low": found.low,
                "high": found.high,
                "how": "measured" if found.measured else "extrapolated",
                "not yet below at": found.above,
                "accuracy there": accuracy.get(found.depth) if found.measured else None,
            }
        )
    return pd.DataFrame(rows)


def quantities(sweep: Sweep) -> dict[str, str]:
    """What the prose of the chapters quotes from one sweep, ready to print."""
    records = [record for record in sweep.records if not record.diverged]
    table = depth_table(sweep.records)
    said: dict[str, str] = {
        "depths": ", ".join(map(str, table["blocks"][:-1])) + f" and {table['blocks'].iloc[-1]}",
        "shallowest": str(table["blocks"].iloc[0]),
        "deepest": str(table["blocks"].iloc[-1]),
        "runs": str(len(sweep.records)),
        "diverged": str(len(sweep.records) - len(records)),
        "seeds": str(len({record.seed for record in records})),
        "clock": f"{table['clock'].mean():.1f}",
        "accuracy_low": f"{table['accuracy'].min():.1%}",
        "accuracy_high": f"{table['accuracy'].max():.1%}",
        "minutes": f"{sum(r.run['wall_seconds'] for r in sweep.records) / 60:.1f}",
        "images_measured": str(records[0].experiment.measured_images),
        "train_size": f"{records[0].experiment.train_size}",
        "epochs": str(records[0].experiment.epochs),
        "weight_decay": f"{records[0].run['training']['weight_decay']:.3g}",
        "product_shallowest": f"{table['product_end'].iloc[0]:.2f}",
        "product_deepest": f"{table['product_end'].iloc[-1]:.2f}",
        "scaled_shallowest": f"{table['scaled_end'].iloc[0]:.3g}",
        "scaled_deepest": f"{table['scaled_end'].iloc[-1]:.3g}",
        "absolute_ratio": f"{table['absolute_end'].iloc[0] / table['absolute_end'].iloc[-1]:.3g}",
        "depth_ratio": f"{table['blocks'].iloc[-1] / table['blocks'].iloc[0]:.3g}",
        "scaled_ratio": f"{table['scaled_end'].iloc[0] / table['scaled_end'].iloc[-1]:.3g}",
        "worst_reconstruction": f"{max(r.perturbations['reconstruction_error'].max() for r in records):.0e}",
        "origin": "the records shipped with the book" if sweep.shipped else "the sweep run in this checkout",
        "freshness": "" if not sweep.stale else f" ({len(sweep.stale)} of them made by sources that changed since)",
    }
    spread = concentration_table(records)
    said |= {
        "half": f"{spread['half'].iloc[-1]:.3g}",
        "nine_tenths": f"{spread['nine_tenths'].iloc[-1]:.3g}",
        "half_initialization": f"{concentration_table(records, 'initialization')['half'].iloc[-1]:.3g}",
        "exponent_median": signed(float(power_law(spread["blocks"].to_numpy(), spread["median"].to_numpy())[0])),
        "exponent_largest": signed(float(power_law(spread["blocks"].to_numpy(), spread["largest"].to_numpy())[0])),
    }
    for moment, claimed in CLAIMED.items():
        law = fit_power_law(sweep.records, moment=moment)
        said |= {
            f"exponent_{moment}": signed(law.exponent),
            f"interval_{moment}": interval(law),
            f"verdict_{moment}": verdict(law, claimed),
        }
    return said
