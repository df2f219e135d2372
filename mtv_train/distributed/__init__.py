"""How one training loop runs on many devices. Applied to the model from outside; the model knows none of it."""
