"""Figures and formatted tables of runs, sweeps, studies and networks.

Functions take records or tables and return a matplotlib Figure or a styled table. None trains a network.
"""

from resperturb.figures.decay import *
from resperturb.figures.mechanism import *
from resperturb.figures.method import *
from resperturb.figures.networks import *
from resperturb.figures.practice import *
from resperturb.figures.runs import *
from resperturb.figures.schematics import *
from resperturb.figures.studies import *
from resperturb.figures.style import *
from resperturb.figures.sweeps import *
