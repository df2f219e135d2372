"""Records that are read only when somebody asks for them: most passes over a dataset look at few of a clip's records,
and boxes and scores of every frame are most of their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from demix.records import Record


class LazyRecords(Mapping[str, Record]):
    """Record name -> record, given as `texts`, the JSON that they were written as; `kinds` names their types."""

    def __init__(self, texts: Mapping[str, str], kinds: Mapping[str, type[Record]]):
        self.texts = texts
        self._kinds = kinds
        self._read: dict[str, Record] = {}

    def __getitem__(self, name: str) -> Record:
        if name not in self._read:
            self._read[name] = self._kinds[name].model_validate_json(self.texts[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self.texts

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    def with_text(self, name: str, text: str) -> LazyRecords:
        """These and one more; what has been read stays read."""
        more = LazyRecords({**self.texts, name: text}, self._kinds)
        more._read = {key: record for key, record in self._read.items() if key != name}
        return more

    def only(self, names: Iterable[str]) -> LazyRecords:
        """Some of these."""
        fewer = LazyRecords({name: self.texts[name] for name in names}, self._kinds)
        fewer._read = {name: record for name, record in self._read.items() if name in fewer.texts}
        return fewer


def text_of(records: Mapping[str, Record], name: str) -> str:
    """The JSON of one record, as it was written where it came as text."""
    return records.texts[name] if isinstance(records, LazyRecords) else as_written(records[name])


def as_written(record: Record, exclude: Mapping[str, set[str]] | None = None) -> str:
    """A record as JSON, without fields that it was not given: one that was read from a dataset of before, which had
    fewer fields, gives the text that stands there."""
    return record.model_dump_json(exclude=dict(exclude or {}), exclude_unset=True)


def chosen(records: Mapping[str, Record], names: Iterable[str]) -> Mapping[str, Record]:
    """Some of the records; none is read that has not been."""
    if isinstance(records, LazyRecords):
        return records.only(names)
    return {name: records[name] for name in names}
