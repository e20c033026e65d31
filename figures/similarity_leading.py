"""The ten leading singular vectors before and after, intruders outlined (paper: Fig. 3)."""

from similarity import pairs

pairs(__file__, leading=10)
