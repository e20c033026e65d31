"""Intruders of LoRA's variants at rank 8 and of full tuning against ε (paper: Fig. 23)."""

from gallery import by_epsilon, drawn

drawn(__file__, "variants-counts", by_epsilon)
