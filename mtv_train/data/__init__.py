"""From shards to batches: which sample comes k-th, where its bytes lie, what is made of them. Knows no training."""
