"""MTV: audio-synchronised video from DEMIX: the model, its training, sampling and evaluation."""
