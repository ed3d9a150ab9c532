"""Figures of runs, sweeps, studies and single networks, and tables as a notebook shows them.

Functions take records or tables and return a matplotlib Figure or a styled table. They read, they never train.
"""

from resperturb.figures.networks import overview, side_by_side
from resperturb.figures.runs import (
    average_against_depth,
    averages_data,
    averages_table,
    cost_table,
    per_block,
    profiles,
    training_curve,
)
from resperturb.figures.sensitivity import (
    architecture_exponents,
    exponents_over_clock,
    exponents_over_decay,
    products_over_clock,
)
from resperturb.figures.studies import (
    carrier_sizes,
    directions,
    gains_and_weights,
    growth_phases,
    initial_blocks,
    initial_figure,
    loss_without,
    path_over_depth,
    pruning,
    straightness,
    text_figure,
    text_layers,
    trajectories,
)
from resperturb.figures.style import (
    BLUE,
    DATASET_STYLE,
    GREEN,
    INK,
    MOMENT_STYLE,
    ORANGE,
    STYLE,
    depth_ticks,
    format_table,
    style_of,
    use_style,
)
from resperturb.figures.sweeps import (
    averages_by_sweep,
    averages_together,
    blocks_by_sweep,
    concentration,
    depths_left_out,
    exponents_by_convention,
    exponents_by_range,
    product_against_depth,
    rule_over_epsilons,
    section_shares,
    stopping_rule,
)
