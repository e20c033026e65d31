"""Six tasks in a row with α = 8 at rank 64, beside α = 2r and full tuning (paper: Fig. 21)."""

from continual import TASKS, task
from gallery import drawn

RUNS = ["full", "LoRA r = 64", "LoRA r = 64, α = 8"]
drawn(__file__, "continual", *(task(name, RUNS) for name in TASKS), height=2.6)
