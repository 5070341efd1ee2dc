"""Computes features: the frozen backbone over every photo and view, once."""

import shlex
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from glr_keras.config import FitConfig
from glr_keras.data.records import SPLITS, Records, photo_index, view_batches
from glr_keras.features.store import FeatureFolder, FeatureViews
from glr_keras.features.view_files import BLOCK, ViewFile
from tfrecords.common.console import UserError
from tfrecords.common.files import READ_ONLY, show_bytes, warn_corrupted

FORMAT = 4  # of features on disk; another number is another folder
MAX_PENDING = 4  # blocks that wait to be written: bounds the memory
VIEWS_AT_ONCE = 4  # that are made of a photo once it is decoded; their batches are in memory
MANY_BYTES = 2**30  # to check; fewer take no second and need no progress bar
ROUNDED_TO_INFINITY = 65520  # by float16; from here on
SPARE_BYTES = 2**26  # that a disk keeps free


@dataclass(frozen=True)
class _Missing:
    """Blocks of a view that must be computed."""

    split: str
    view: int | None
    file: ViewFile
    blocks: list[int]

    @property
    def nbytes(self):
        return sum(map(self.file.block_bytes, self.blocks))

    @property
    def photos(self):
        return sum(min(BLOCK, self.file.shape[0] - block * BLOCK) for block in self.blocks)


def feature_views(
    records: Records,
    backbone: keras.Model,
    weights_hash: str,
    config: FitConfig,
    splits: Sequence[str] = SPLITS,
) -> dict[str, FeatureViews]:
    """Opens the features of some splits; what is missing is computed first, with a progress bar.

    Train photos have `config.num_views` augmented views, validation and test photos one eval view.
    They lie in `config.features_dir` or `DATA/features`, in a folder named after a hash of all
    they depend on: features that were made otherwise can't be read by mistake. All that was written
    since the last start is read against its checksums; what does not fit is named and computed
    again, and a killed extraction resumes where it was.

    Args:
        records: From `data.open_records`.
        backbone: From `backbones.build_backbone` with the same `config`.
        weights_hash: Of the backbone, from `backbones.hash_weights`.
        config: FitConfig; its precision is not "auto" (see `precision.choose_precision`).
        splits: Names among "train", "validation" and "test".

    Returns:
        Dict from split to its features.

    Raises:
        UserError: the folder can't be written, has no room, or a feature is too large for float16.
    """
    parent = Path(config.features_dir or records.data_dir / "features")
    keys = [features_key(records, split, weights_hash, config) for split in splits]
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
            _check_space(missing, parent)
            _extract_all(missing, records, backbone, config)
    return dict(zip(splits, views, strict=True))


def features_key(records: Records, split: str, weights_hash: str, config: FitConfig) -> dict:
    """Returns all that the features of a split depend on."""
    names, seed = ["backbone", "cut_layer", "image_size", "framing", "precision"], {}
    if config.feature_layers:
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
        "cut_layer": config.branch_layer or config.cut_layer,  # where it was, among the names
    }


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
    split = folder.key["split"]
    index = folder.load_index()
    if index is None:
        index = photo_index(records, split)
        if is_writable:
            folder.save_index(*index)
    numbers = range(config.num_views) if split == "train" else [None]
    shape = (len(index[0]), *backbone.output_shape[1:])
    return FeatureViews(split, {view: folder.view(view, shape) for view in numbers}, *index)


def find_missing(views: Iterable[FeatureViews]) -> list[_Missing]:
    """Reads all features that there are; names those that are damaged."""
    found = []
    total = sum(file.nbytes for one in views for file in one.files.values())
    with tqdm(
        total=total,
        desc="Checking features",
        unit="B",
        unit_scale=True,
        disable=total < MANY_BYTES,
    ) as bar:
        for one in views:
            for view, file in one.files.items():
                missing, damaged = file.check(bar)
                if damaged:
                    remedy = f"{len(damaged)} of {file.num_blocks} blocks are computed again"
                    warn_corrupted(file.path, remedy)
                if missing:
                    found.append(_Missing(one.split, view, file, missing))
    return found


def _check_space(missing, folder):
    """Prints what space the features take, and refuses where it is not there."""
    needed = sum(one.nbytes for one in missing)
    free = shutil.disk_usage(folder).free
    photos = sum(one.photos for one in missing)
    height, width, channels = missing[0].file.shape[1:]
    account = (
        f"{photos:,} views of photos x {height} x {width} x {channels} x 2 bytes = "
        f"{show_bytes(needed)}; {show_bytes(free)} are free in {folder}."
    )
    if needed + SPARE_BYTES > free:
        data = folder.parent if (folder.parent / "manifest.json").exists() else folder
        command = shlex.join(["python", "-m", "glr_keras.features", "list", str(data)])
        raise UserError(
            f"No room for the features: {account} Free some space, see what is stored with "
            f"{command}, keep fewer --views, or train with --live, which stores none."
        )
    print(f"Features to compute: {account}", flush=True)


def _extract_all(missing, records, backbone, config):
    for split, ones in groupby(missing, key=lambda one: one.split):
        ones = list(ones)
        there = sum(one.file.shape[0] - one.photos for one in ones)
        total = sum(one.file.shape[0] for one in ones)
        with tqdm(total=total, initial=there, desc=f"Features of {split}", unit=" photos") as bar:
            _extract(split, ones, records, backbone, config, bar)


def _extract(split, missing, records, backbone, config, bar):
    """Computes blocks while the ones before are written and the photos after them decoded."""
    with ThreadPoolExecutor(1) as writer:
        pending = deque()
        for one, block, photos in _photos_of_blocks(split, missing, records, config):
            features = backbone.predict_on_batch(photos)
            pending.append(writer.submit(_write, one.file, block, features))
            if len(pending) > MAX_PENDING:
                bar.update(pending.popleft().result())
        for last in pending:
            bar.update(last.result())


def _photos_of_blocks(split, missing, records, config):
    """Yields each missing block of a view with its photos; each photo is decoded once for all."""
    for blocks, ones in _passes(missing):
        first = blocks[0] * BLOCK
        count = min(len(blocks) * BLOCK, ones[0].file.shape[0] - first)
        views = [one.view for one in ones]
        batches = view_batches(records, split, views, first, count, config, BLOCK)
        batches = iter(batches.as_numpy_iterator())
        for block in blocks:
            batch = next(batches, None)
            if batch is None:
                command = shlex.join(["python", "-m", "tfrecords.check", str(records.data_dir)])
                raise UserError(
                    f"{split}: the records end before photo {first + count}. See what is wrong "
                    f"with: {command}"
                )
            for one, photos in zip(ones, batch, strict=True):
                yield one, block, photos


def _passes(missing: list[_Missing]) -> Iterator[tuple[list[int], list[_Missing]]]:
    """Yields runs of successive blocks with the views that miss all of them."""
    for start in range(0, len(missing), VIEWS_AT_ONCE):
        views_of_block: dict[int, list[_Missing]] = {}
        for one in missing[start : start + VIEWS_AT_ONCE]:
            for block in one.blocks:
                views_of_block.setdefault(block, []).append(one)
        run: list[int] = []
        for block in sorted(views_of_block):
            if run and (block > run[-1] + 1 or views_of_block[block] != views_of_block[run[-1]]):
                yield run, views_of_block[run[-1]]
                run = []
            run.append(block)
        yield run, views_of_block[run[-1]]


def _write(file, block, features):
    file.write_block(block, _to_float16(features, file.path))
    return len(features)


def _to_float16(features, path):
    largest = np.abs(features).max()
    if not largest < ROUNDED_TO_INFINITY:
        raise UserError(
            f"{path.parent.name}: features up to {largest:g} do not fit float16 (65504). Are these "
            "the right weights for this backbone?"
        )
    return keras.ops.convert_to_numpy(keras.ops.cast(features, "float16"))  # numpy's takes longer
