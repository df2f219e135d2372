"""The authors' checkpoints to diffusers folders and back."""
