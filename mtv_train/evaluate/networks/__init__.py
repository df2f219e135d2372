"""The networks that metrics look through, in the released checkpoints' layout, so that those load strictly.

Plain `nn.Module`s that know no file, no video and no metric. CLIP is `transformers`' own and lives nowhere here.
"""
