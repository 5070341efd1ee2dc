"""What shows only over all records: repeated ids, labels of other landmarks, copies."""

from collections.abc import Iterable, Iterator, Sequence

from tfrecords.records.metadata import Landmark
from tfrecords.splitting.deduplication import by_landmark, find_copies
from tfrecords.validation.findings import Finding
from tfrecords.validation.records import Record


def find_repeated_ids(records: Iterable[Record]) -> Iterator[Finding]:
    """Says which records have the photo_id of an earlier one."""
    firsts: dict[str, Record] = {}
    for record in records:
        first = firsts.setdefault(record.photo_id, record)
        if first is not record:
            yield Finding("photo_id", f"{record} repeats the photo_id of {first}")


def find_wrong_labels(
    records: Iterable[Record], landmarks: Sequence[Landmark]
) -> Iterator[Finding]:
    """Says which records have a label that is not that of their landmark."""
    for record in records:
        if record.label is None:
            continue  # a finding already
        if not 0 <= record.label < len(landmarks):
            text = f"label {record.label}, expected 0 to {len(landmarks) - 1}"
            yield Finding("label", f"{record}: {text}")
        elif landmarks[record.label].landmark_id != record.landmark_id:
            text = f"that of {landmarks[record.label].landmark_id}, not of {record.landmark_id}"
            yield Finding("label", f"{record}: label {record.label} is {text}")


def find_bad_copies(records: Sequence[Record], threads: int | None = None) -> Iterator[Finding]:
    """Says which photos have a copy that the build would not have left in.

    Args:
        records: All that are known.
        threads: Int, how many work at once; None for one per core.
    """
    records = [record for record in records if record.digest]
    digests = [record.digest for record in records]
    fingerprints = [record.fingerprint for record in records]
    landmark_ids = [record.landmark_id for record in records]
    copies = find_copies(digests, fingerprints, landmark_ids, threads)
    for group in copies.groups:
        yield from _of_two_landmarks([records[i] for i in group if i in copies.conflicting])
        for members in by_landmark(group, records):
            first, *others = (records[place] for place in members)
            for other in others:
                if other.split != first.split:
                    text = f"{_relate(other, first)}: one in {other.split}, one in {first.split}"
                    yield Finding("two splits", text)
                elif other.digest == first.digest:
                    yield Finding("copy", _relate(other, first))


def _of_two_landmarks(conflicting):
    for number, record in enumerate(conflicting):
        earlier = (one for one in conflicting[:number] if one.landmark_id != record.landmark_id)
        if first := next(earlier, None):
            landmarks = f"{record.landmark_id} and {first.landmark_id}"
            yield Finding("two landmarks", f"{_relate(record, first)}: landmarks {landmarks}")


def _relate(record, first):
    exact = record.digest == first.digest
    return f"{record} is {'the same photo as' if exact else 'a near-duplicate of'} {first}"
