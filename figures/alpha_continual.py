"""Six tasks in a row with α = 8 at rank 64, beside α = 2r and full tuning (paper: Fig. 21)."""

from continual import TASKS, gathered, task
from gallery import drawn

drawn(__file__, "alpha_continual", *map(task, TASKS), gathered, height=2.6)
