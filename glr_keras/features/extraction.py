"""Computes features: the frozen backbone over every photo and view, once."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import keras
import numpy as np
from tqdm import tqdm

from glr_keras.config import FitConfig
from glr_keras.data.records import SPLITS, Records, photo_index
from glr_keras.features.computing import compute_missing
from glr_keras.features.missing import find_missing
from glr_keras.features.reuse import StoredElsewhere, StoredRows, ViewRows
from glr_keras.features.store import FeatureFolder, FeatureViews
from tfrecords.common.console import UserError, command_line
from tfrecords.common.files import READ_ONLY, show_bytes

FORMAT = 4  # of features on disk; another number is another folder
SPARE_BYTES = 2**26  # that a disk keeps free
NOTHING: Mapping[str, str] = MappingProxyType({})


def feature_views(
    records: Records,
    backbone: keras.Model,
    weights_hash: str,
    config: FitConfig,
    splits: Sequence[str] = SPLITS,
    sources: Mapping[tuple[str, int | None], ViewRows] | None = None,
    facts: Mapping[str, str] = NOTHING,
) -> dict[str, FeatureViews]:
    """Opens the features of some splits; what is missing is computed first, with a progress bar.

    Train photos have `config.num_views` augmented views, validation and test photos one eval view.
    They lie in `config.features_dir` or `DATA/features`, in a folder named after a hash of all
    they depend on: features that were made otherwise can't be read by mistake. All that was written
    since the last start is read against its checksums; what does not fit is named and computed
    again, and a killed extraction resumes where it was. Views of photos that were computed for
    other records are copied (see `features.reuse`).

    Args:
        records: From `data.open_records`.
        backbone: From `backbones.build_backbone` with the same `config`.
        weights_hash: Of the backbone, from `backbones.hash_weights`.
        config: FitConfig; its precision is not "auto" (see `precision.choose_precision`).
        splits: Names among "train", "validation" and "test".
        sources: (split, view) -> what its rows are read from instead of being computed, or of being
            copied from other records.
        facts: What the features depend on besides all that.

    Returns:
        Dict from split to its features.

    Raises:
        UserError: the folder can't be written, has no room, or a feature is too large for float16.
    """
    parent = _parent(records, config)
    keys = [{**features_key(records, one, weights_hash, config), **facts} for one in splits]
    folders = [FeatureFolder(parent, key) for key in keys]
    with ExitStack() as locks:
        errors = [_claim(folder, locks) for folder in folders]
        views = [
            _open_views(folder, records, backbone, config, is_writable=error is None)
            for folder, error in zip(folders, errors, strict=True)
        ]
        missing = find_missing(views)
        if missing:
            if protected := [error for error in errors if error]:
                raise _not_writable(parent, protected[0])
            if sources is None:
                missing = _find_stored(missing, folders, records)
                copied = "of them were computed for other records and are copied"
            else:
                missing = [_read_from(sources[one.split, one.view], one) for one in missing]
                copied = "of them come from stored features of the layer before"
            _check_space(missing, parent, copied)
            compute_missing(missing, records, backbone, config)
    return dict(zip(splits, views, strict=True))


def find_views(
    records: Records,
    split: str,
    weights_hash: str,
    shape: tuple[int, int, int],
    config: FitConfig,
    facts: Mapping[str, str] = NOTHING,
) -> FeatureViews | None:
    """Opens the stored features of a split, if all of them are there and fit their checksums.

    Nothing is computed, so that no backbone is needed.

    Args:
        records: From `data.open_records`.
        split: "train", "validation" or "test".
        weights_hash: Of the backbone, as `feature_views` takes it.
        shape: `(height, width, channels)` of one photo's features.
        config: FitConfig of the run; its precision is not "auto".
        facts: As `feature_views` takes them.

    Returns:
        FeatureViews, or None where some must be computed.
    """
    key = {**features_key(records, split, weights_hash, config), **facts}
    folder = FeatureFolder(_parent(records, config), key)
    if not folder.path.is_dir() or (index := folder.load_index()) is None:
        return None
    views = _views_in(folder, index, shape, config)
    with tqdm(disable=True) as bar:
        is_whole = not any(file.check(bar)[0] for file in views.files.values())
    return views if is_whole else None


def features_key(records: Records, split: str, weights_hash: str, config: FitConfig) -> dict:
    """Returns all that the features of a split depend on."""
    names, seed = ["backbone", "cut_layer", "image_size", "framing", "precision"], {}
    if config.feature_layers and not config.split_layer:
        names.append("feature_layers")
    if split == "train":  # eval views have no randomness, so another seed finds them again
        names += ["plain_view", "rotation", "min_crop_area", "brightness", "flip"]
        seed = {"seed": config.seed_of_features}
    return {
        "format": FORMAT,
        "split": split,
        "records": records.fingerprint,
        "weights": weights_hash,
        **seed,
        **{name: getattr(config, name) for name in names},
        "cut_layer": config.split_layer or config.cut_layer,  # where it was, among the names
    }


def _parent(records, config):
    return Path(config.features_dir or records.data_dir / "features")


def _claim(folder, locks):
    """Locks the folder and starts it; returns the error where it can only be read."""
    try:
        locks.enter_context(folder.locked())
        folder.start()
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        if not folder.path.exists():
            raise _not_writable(folder.parent, error) from error
        return error
    return None


def _not_writable(folder, error):
    return UserError(
        f"Can't write features to {folder} ({error.strerror}). Name a folder that can be written "
        "with --features-dir, or train with --live, which stores none."
    )


def _open_views(folder, records, backbone, config, is_writable):
    index = folder.load_index()
    if index is None:
        index = photo_index(records, folder.key["split"])
        if is_writable:
            folder.save_index(*index)
    return _views_in(folder, index, backbone.output_shape[1:], config)


def _views_in(folder, index, shape, config):
    """Names the files of all views of a split, whether they are there or not."""
    split = folder.key["split"]
    numbers = range(config.num_views) if split == "train" else [None]
    files = {view: folder.view(view, (len(index[0]), *shape)) for view in numbers}
    return FeatureViews(split, files, *index)


def _find_stored(missing, folders, records):
    """Looks for what is missing among the features of other records."""
    splits = {one.split for one in missing}
    elsewhere = {
        split: StoredElsewhere(folder, records)
        for folder in folders
        if (split := folder.key["split"]) in splits
    }
    return [
        replace(one, stored=elsewhere[one.split].rows(one.view, one.file.shape[1:]))
        for one in missing
    ]


def _read_from(source, one):
    stored, rows = StoredRows(one.file.shape[0]), np.arange(one.file.shape[0])
    stored.add(source, rows, rows)
    return replace(one, stored=stored)


def check_room(records: Records, shape: tuple[int, int, int], config: FitConfig) -> None:
    """Checks that features of one view of all photos can be written later on.

    Raises:
        UserError: no room, or the folder can only be read.
    """
    parent = _parent(records, config)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=parent, prefix="."):
            pass
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        raise _not_writable(parent, error) from error
    _account(sum(records.num_photos(split) for split in SPLITS), shape, parent)


def _check_space(missing, folder, copied_from):
    """Prints what space the features take, and refuses where it is not there."""
    photos = sum(len(one.rows) for one in missing)
    account = _account(photos, missing[0].file.shape[1:], folder)
    print(f"Features to compute: {account}", flush=True)
    if copied := photos - sum(len(one.rows_to_compute) for one in missing):
        print(f"{copied:,} {copied_from}.", flush=True)


def _account(photos, shape, folder):
    """Says what space views of photos take, and refuses where it is not there."""
    height, width, channels = shape
    needed, free = photos * height * width * channels * 2, shutil.disk_usage(folder).free
    account = (
        f"{photos:,} views of photos x {height} x {width} x {channels} x 2 bytes = "
        f"{show_bytes(needed)}; {show_bytes(free)} are free in {folder}."
    )
    if needed + SPARE_BYTES > free:
        data = folder.parent if (folder.parent / "manifest.json").exists() else folder
        command = command_line("glr_keras.features", "list", data)
        raise UserError(
            f"No room for the features: {account} Free some space, see what is stored with "
            f"{command}, keep fewer --views, or train with --live, which stores none."
        )
    return account
