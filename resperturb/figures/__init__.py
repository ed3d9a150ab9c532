"""Figures of runs, sweeps, studies and single networks, and tables as a notebook shows them.

Functions take records or tables and return a matplotlib Figure or a styled table. They read, they never train.
"""

from resperturb.figures.mechanism import *
from resperturb.figures.method import *
from resperturb.figures.networks import *
from resperturb.figures.practice import *
from resperturb.figures.runs import *
from resperturb.figures.schematics import *
from resperturb.figures.sensitivity import *
from resperturb.figures.studies import *
from resperturb.figures.style import *
from resperturb.figures.sweeps import *
