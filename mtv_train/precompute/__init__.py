"""Latents, text embeddings and audio features computed once, by the builder's engine, and read by the loader."""
