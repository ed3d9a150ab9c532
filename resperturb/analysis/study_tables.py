"""Tables of studies over depths, variants and seeds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from resperturb.analysis.slope_tests import Slope, fit_slope
from resperturb.analysis.theory import VARIANTS
from resperturb.errors import ScalingError
from resperturb.records.record import Record, concat_tables


def fit_column(table: pd.DataFrame, depth: str, column: str) -> Slope:
    """Fit the exponent of one column over another; raises the errors of
    :func:`resperturb.analysis.slope_tests.points`."""
    return fit_slope(table[depth].to_numpy(), table[column].to_numpy())


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
            laws[str(variant)] = fit_column(rows[finite], "blocks", "scaled")
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
    """Tabulate the mean scaled perturbation per token: columns layers, seed, moment, part ("both", "attention", "mlp"),
    scaled."""
    rows = []
    for record in records:
        for moment, part in record.table("blocks").groupby("moment"):
            values = {"both": part["scaled"].mean(), **part.groupby("part")["scaled"].mean().to_dict()}
            for name, value in values.items():
                facts = {"layers": record.parameters["layers"], "seed": record.parameters["seed"]}
                rows.append({**facts, "moment": moment, "part": name, "scaled": value})
    return pd.DataFrame(rows)


def text_laws(table: pd.DataFrame) -> pd.DataFrame:
    """Fit the exponent over layers by moment and part: columns moment, part, exponent, low, high, bent."""
    rows = []
    for (moment, part), there in table.groupby(["moment", "part"]):
        law = fit_column(there, "layers", "scaled")
        rows.append({"moment": moment, "part": part, **law.columns})
    return pd.DataFrame(rows)


def text_losses(records: Iterable[Record]) -> pd.DataFrame:
    """Average loss (held out, nats per character), parameters and seconds over seeds, by number of layers."""
    every = concat_tables(records, "network", "layers")
    columns = ["loss_initialization", "loss", "parameters", "training_seconds"]
    return every.groupby("layers", as_index=False)[columns].mean()
