"""Choosing thresholds: what they keep of a finished dataset, which to take, and labels by hand to hold them against."""
