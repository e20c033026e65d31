"""Intruders against how many leading vectors are examined, one to all (paper: Fig. 15); mean and deviation."""

from gallery import by_k, drawn

drawn(__file__, "epsilon_and_k-counts", by_k)
