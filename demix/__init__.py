"""Builds the DEMIX dataset from films. The command is `demix`; `demix --help` lists what it can do."""

__version__ = "0.1.0"

DISTRIBUTION = "demix-dataset"
"""What to install: `demix` on the package index is another project."""
