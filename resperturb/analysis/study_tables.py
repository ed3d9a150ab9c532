"""Tables of studies: the records of one study together, over depths, variants and seeds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from resperturb.analysis.slope_tests import Slope, fit_slope
from resperturb.analysis.theory import VARIANTS
from resperturb.errors import ScalingError
from resperturb.records.record import Record, concat_tables


def fit_column(table: pd.DataFrame, depth: str, column: str) -> Slope:
    """The exponent of one column over depth, one row a depth and seed.

    Raises:
        ScalingError: fewer than two depths, or a value that is not positive.
    """
    return fit_slope(table[depth].to_numpy(), table[column].to_numpy())


def initial_averages(records: Iterable[Record]) -> pd.DataFrame:
    """One row a variant, seed and depth, those included where activations overflowed."""
    return concat_tables(records, "averages", "variant")


def initial_laws(table: pd.DataFrame) -> dict[str, Slope]:
    """The law of every variant whose average is above zero, over the depths at which it is finite in every seed."""
    laws = {}
    for variant, rows in table.groupby("variant"):
        if VARIANTS[str(variant)].exponent is None:
            continue  # branches that start at zero have no logarithm
        finite = rows.groupby("blocks")["finite"].transform("all")
        try:
            laws[str(variant)] = fit_column(rows[finite], "blocks", "scaled")
        except ScalingError:
            continue
    return {variant: laws[variant] for variant in VARIANTS if variant in laws}


def variant_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row a variant: exponent with interval, what theory gives, and how the state grows.

    `overflow` is the smallest depth at which activations were no longer finite in float32; `growth` the factor on the
    norm of the state from the first block to the last, in the deepest network that is finite.
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
    """One row a depth, seed, moment and part ("both", "attention", "mlp"): the mean scaled contribution per token."""
    rows = []
    for record in records:
        for moment, part in record.table("blocks").groupby("moment"):
            values = {"both": part["scaled"].mean(), **part.groupby("part")["scaled"].mean().to_dict()}
            for name, value in values.items():
                facts = {"layers": record.parameters["layers"], "seed": record.parameters["seed"]}
                rows.append({**facts, "moment": moment, "part": name, "scaled": value})
    return pd.DataFrame(rows)


def text_laws(table: pd.DataFrame) -> pd.DataFrame:
    """One row a moment and part: the exponent over layers, with its interval."""
    rows = []
    for (moment, part), there in table.groupby(["moment", "part"]):
        law = fit_column(there, "layers", "scaled")
        rows.append({"moment": moment, "part": part, **law.columns})
    return pd.DataFrame(rows)


def text_losses(records: Iterable[Record]) -> pd.DataFrame:
    """One row a number of layers: held-out loss in nats a character before and after training, over seeds."""
    every = concat_tables(records, "network", "layers")
    columns = ["loss_initialization", "loss", "parameters", "training_seconds"]
    return every.groupby("layers", as_index=False)[columns].mean()
