"""Finds the features that a run has stored, without its backbone and without computing any."""

from pathlib import Path

from tqdm import tqdm

from glr_keras.config import FitConfig
from glr_keras.data.records import Records
from glr_keras.features.extraction import features_key
from glr_keras.features.store import FeatureFolder, FeatureViews


def find_views(
    records: Records,
    split: str,
    weights_hash: str,
    shape: tuple[int, int, int],
    config: FitConfig,
) -> FeatureViews | None:
    """Opens the stored features of a split, if all of them are there and fit their checksums.

    Args:
        records: From `data.open_records`.
        split: "train", "validation" or "test".
        weights_hash: Of the backbone, as `extraction.feature_views` takes it.
        shape: `(height, width, channels)` of one photo's features.
        config: FitConfig of the run; its precision is not "auto".

    Returns:
        FeatureViews, or None where some must be computed.
    """
    key = features_key(records, split, weights_hash, config)
    parent = Path(config.features_dir or records.data_dir / "features")
    folder = FeatureFolder(parent, key)
    if not folder.path.is_dir() or (index := folder.load_index()) is None:
        return None
    numbers = range(config.num_views) if split == "train" else [None]
    files = {view: folder.view(view, (len(index[0]), *shape)) for view in numbers}
    with tqdm(disable=True) as bar:
        if any(file.check(bar)[0] for file in files.values()):
            return None
    return FeatureViews(split, files, *index)
