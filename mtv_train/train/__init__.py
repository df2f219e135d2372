"""The training loop: what happens to a batch, in what course of stages, and what is kept of it."""
