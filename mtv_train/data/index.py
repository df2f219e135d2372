"""Every window of every clip of a dataset, by subset: a table in one memory-mapped file, shared by all processes."""

from __future__ import annotations

from mtv_train.data.settings import DataSettings


class DatasetIndex:
    """The windows of one split. Rows are sorted by the clips' keys, so nothing depends on how shards are laid out."""

    @classmethod
    def open(cls, settings: DataSettings, split: str = "train") -> DatasetIndex:
        """The index of `settings.dataset`; made if it is not cached yet, which for plain WebDataset tars reads them
        once. Raises `DatasetError`. Training opens "train" only, validation "test"."""
        raise NotImplementedError

    @property
    def subsets(self) -> tuple[str, ...]:
        """Names of the subsets, sorted."""
        raise NotImplementedError

    def count(self, subset: str) -> int:
        """Windows of a subset; raises `DatasetError` if there is no such subset."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """32 hex digits over the content of all clips, their subsets, and the window settings; not over where they
        lie."""
        raise NotImplementedError
