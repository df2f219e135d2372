"""Noise schedule, objective and what is drawn per sample: pure functions of tensors and generators."""
