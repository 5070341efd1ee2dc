"""Exports a run for another runtime: converts, runs and compares the files, then shows them."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from glr_keras.calibration.rejector import load_rejector
from glr_keras.data.records import Records
from glr_keras.exporting import comparing, litert, onnx
from glr_keras.exporting.comparing import MAX_ACCURACY_LOSS, MAX_DIFFERENCE, Comparison
from glr_keras.exporting.folders import DESCRIPTION, new_folder
from glr_keras.exporting.model_card import write_model_card
from glr_keras.exporting.portable import describe_portable, portable_function
from glr_keras.inference.loading import short_side_of
from glr_keras.models.recognizer import Recognizer
from tfrecords.common.console import UserError
from tfrecords.common.files import write_atomically

CALIBRATION_PHOTOS = 100  # train photos that int8 takes its ranges from


RUNTIMES = {  # what writes its files, and what opens one
    "litert": (litert.write_litert, litert.open_litert),
    "onnx": (onnx.write_onnx, onnx.open_onnx),
}


def export_files(
    recognizer: Recognizer,
    run: Path,
    out: Path,
    records: Records,
    style: str,
    test_photos: int,
    overwrite: bool,
    accept: float | None = None,
) -> None:
    """Writes, runs and compares the files of a runtime; a folder with good ones appears as `out`.

    Args:
        recognizer: Recognizer of the run.
        run: Directory of a complete run.
        out: New folder.
        records: That the run was trained on.
        style: One of `RUNTIMES`.
        test_photos: Int, how many test photos the files are compared with Keras on.
        overwrite: Bool, whether `out` may be an earlier export of this kind, which is replaced.
        accept: Float in (0, 1), of the run's rejector; None: as the run has it.

    Raises:
        UserError: as `new_folder`, `write_litert` and `keep_accurate`.
    """
    write, open_file = RUNTIMES[style]

    def calibration():
        views, _ = comparing.read_views(records, "train", CALIBRATION_PHOTOS, recognizer)
        return (view[None] for view in views)

    with new_folder(out, overwrite) as folder:
        rejector = load_rejector(run, accept)
        pixels = portable_function(recognizer, rejector)
        files = write(pixels, recognizer, folder, calibration)
        views, labels = comparing.read_views(records, "test", test_photos, recognizer)
        rows = comparing.compare(pixels, files.values(), open_file, views, labels)
        table = comparing.table_of(rows, len(views))
        print(f"\n{table}")
        kept = keep_accurate(files, rows)
        outputs = list(pixels.get_concrete_function().structured_outputs)
        short_side = short_side_of(run, records.data_dir)
        description = describe_portable(recognizer, outputs, short_side, rejector, kept)
        _write_json(folder / DESCRIPTION, description)
        comparison = {"photos": len(views), "files": [asdict(row) for row in rows]}
        _write_json(folder / "comparison.json", comparison)
        hashes = description["sha256"]
        write_model_card(folder, run, records.data_dir, hashes, style, table, rejector)


def keep_accurate(files: dict[str, Path], rows: list[Comparison]) -> list[Path]:
    """Deletes files in a smaller precision that cost accuracy; returns the others.

    Raises:
        UserError: the file in float32 does not answer as Keras does.
    """
    reference, of_files = rows[0], {row.name: row for row in rows[1:]}
    kept = []
    for precision, path in files.items():
        row = of_files[path.name]
        difference = np.max([row.difference, row.map_difference])  # NaN where either is
        if precision == "float32" and not difference <= MAX_DIFFERENCE:
            raise UserError(
                f"{path.name} differs from Keras by {difference:.1e}, more than "
                f"{MAX_DIFFERENCE:.0e}: nothing was kept. That is a fault of the converter or of "
                "this program; please report it."
            )
        loss = reference.accuracy - row.accuracy
        if precision != "float32" and not loss <= MAX_ACCURACY_LOSS + 1e-9:
            print(
                f"{path.name} costs {loss:.1%} of accuracy, more than {MAX_ACCURACY_LOSS:.1%}: it "
                "was not kept."
            )
            path.unlink()
            continue
        kept.append(path)
    return kept


def _write_json(path, values):
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
