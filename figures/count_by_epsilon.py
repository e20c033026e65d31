"""Intruders against the threshold ε (paper: Fig. 4); mean and standard deviation over seeds, k = 10."""

from gallery import by_epsilon, drawn

drawn(__file__, "epsilon_and_k-counts", by_epsilon)
