"""Tables of studies over depths, variants and seeds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from resperturb.analysis.slope_tests import Slope, fit_slope
from resperturb.analysis.theory import VARIANTS
from resperturb.errors import ScalingError
from resperturb.records.record import Record, concat_tables
from resperturb.records.sweeps import FEWEST_DEPTHS

TEXT_TRAINING = ("initialization", "weight_decay")  # what differs between trainings of transformers of one length


def initial_averages(records: Iterable[Record]) -> pd.DataFrame:
    """Tabulate averages by variant, seed and depth, with a row where activations overflowed."""
    return concat_tables(records, "averages", "variant")


def initial_laws(table: pd.DataFrame) -> dict[str, Slope]:
    """Fit the exponent of each variant with an average above zero, over the depths that are finite for all seeds."""
    laws = {}
    for variant, rows in table.groupby("variant"):
        if VARIANTS[str(variant)].exponent is None:
            continue  # averages are zero
        finite = rows.groupby("blocks")["finite"].transform("all")
        try:
            laws[str(variant)] = fit_slope(rows[finite]["blocks"], rows[finite]["scaled"])
        except ScalingError:
            continue
    return {variant: laws[variant] for variant in VARIANTS if variant in laws}


def variant_table(table: pd.DataFrame) -> pd.DataFrame:
    """Tabulate variants, one per row.

    Returns:
        Columns variant; exponent, low, high, bent; theory (its exponent); source; deepest (largest finite depth);
        "average there" and growth (last norm of the state over the first) at that depth; overflow (smallest depth with
        activations that are not finite in float32).
    """
    laws = initial_laws(table)
    rows = []
    for name, variant in VARIANTS.items():
        part = table[table["variant"] == name]
        if part.empty:
            continue
        finite = part[part["finite"]]
        lost = part.loc[~part["finite"].astype(bool), "blocks"]
        deepest = finite[finite["blocks"] == finite["blocks"].max()]
        law = laws.get(name)
        rows.append(
            {
                "variant": variant.label,
                **(law.columns if law else dict.fromkeys(("exponent", "low", "high"), np.nan)),
                "theory": variant.exponent if variant.exponent is not None else np.nan,
                "source": variant.source,
                "deepest": int(finite["blocks"].max()),
                "average there": deepest["scaled"].mean(),
                "growth": deepest["state_ratio"].mean(),
                "overflow": int(lost.min()) if len(lost) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def text_averages(records: Iterable[Record]) -> pd.DataFrame:
    """Tabulate the mean scaled perturbation per token of transformers: columns initialization, weight_decay, layers,
    seed, moment, part ("both", "attention", "mlp"), scaled."""
    rows = []
    for record in records:
        facts = {name: record.parameters[name] for name in (*TEXT_TRAINING, "layers", "seed")}
        for moment, table in record.table("blocks").groupby("moment"):
            values = {"both": table["scaled"].mean(), **table.groupby("part")["scaled"].mean().to_dict()}
            rows += [{**facts, "moment": moment, "part": part, "scaled": value} for part, value in values.items()]
    return pd.DataFrame(rows)


def text_laws(table: pd.DataFrame) -> pd.DataFrame:
    """Fit the exponent over layers of :func:`text_averages`, where there are three depths or more: columns
    initialization, weight_decay, moment, part, exponent, low, high, bent."""
    rows = []
    for names, there in table.groupby([*TEXT_TRAINING, "moment", "part"]):
        if there["layers"].nunique() >= FEWEST_DEPTHS:
            law = fit_slope(there["layers"], there["scaled"])
            rows.append(dict(zip((*TEXT_TRAINING, "moment", "part"), names, strict=True)) | law.columns)
    return pd.DataFrame(rows)


def text_losses(records: Iterable[Record]) -> pd.DataFrame:
    """Tabulate T and the held-out loss (nats per character, mean over seeds) for each way to train transformers:
    columns initialization, weight_decay, clock, layers (the deepest), loss_low, loss_high (over depths)."""
    every = concat_tables(records, "network", *TEXT_TRAINING, "layers", "steps", "learning_rate")
    every["clock"] = (
        every["weight_decay"] * every["learning_rate"] * every["steps"] / 2
    )  # one cycle's mean is half its peak
    by_depth = every.groupby([*TEXT_TRAINING, "clock", "layers"])["loss"].mean().reset_index("layers")
    grouped = by_depth.groupby([*TEXT_TRAINING, "clock"])
    return grouped.agg(layers=("layers", "max"), loss_low=("loss", "min"), loss_high=("loss", "max")).reset_index()
