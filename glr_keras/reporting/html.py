"""Renders a report: one HTML file that needs nothing else, neither network nor server."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2

from glr_keras.reporting import plots
from glr_keras.reporting.conflicts import Conflict
from glr_keras.reporting.contents import RunContents, command_of
from glr_keras.reporting.measured_plots import (
    faithfulness_plots,
    rejection_plot,
    reliability_plot,
)
from glr_keras.reporting.measured_tables import faithfulness_table, slice_rows
from glr_keras.reporting.tables import (
    MAX_CELLS,
    MAX_ROWS,
    confused_pairs,
    confusion_rows,
    headline_rows,
    landmark_rows,
    least_sure,
    majority_class,
    photos_of_cells,
    worst_mistakes,
)
from glr_keras.reporting.thumbnails import PhotoImages

# Of all runs of a report, which share the 10 MB of its file.
MAX_EXPLAINED = 12  # photos under their maps, of the worst mistakes and of the least sure each
MAX_THUMBNAILS = 600


@dataclass(frozen=True)
class RunReport:
    """A run and the photos that its report shows.

    Attributes:
        contents: What its files say.
        worst: Numbers of the wrong photos with the highest loss, with maps.
        least_sure: Numbers of the photos with the lowest score, with maps.
        of_cells: Numbers of the photos that open from the matrix.
        images: Those of them that could be read.
        conflicts: Copies under two landmarks.
    """

    contents: RunContents
    worst: Sequence[int]
    least_sure: Sequence[int]
    of_cells: Sequence[int]
    images: PhotoImages
    conflicts: Sequence[Conflict] = ()


def select_photos(
    contents: RunContents, num_runs: int = 1
) -> tuple[list[int], list[int], list[int]]:
    """Chooses the photos of a run that a report of `num_runs` shows.

    Returns:
        worst, least_sure, of_cells: As in `RunReport`.
    """
    explained = MAX_EXPLAINED // num_runs
    worst = worst_mistakes(contents.results, explained)
    unsure = least_sure(contents.results, explained, worst)
    of_cells = photos_of_cells(contents.results, MAX_THUMBNAILS // num_runs)
    return worst, unsure, of_cells


def render_report(runs: Sequence[RunReport]) -> str:
    """Returns the report of one run, or of several side by side; the same runs, the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("glr_keras.reporting"),
        autoescape=True,  # names of landmarks and photos can be anything
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: "\u2013" if value != value else f"{value:.1%}"
    return environment.get_template("report.html").render(
        runs=[_describe(run, len(runs)) for run in runs], plots=plots
    )


def _describe(run, num_runs):
    contents = run.contents
    landmarks, left_out = landmark_rows(contents, MAX_ROWS // num_runs)
    return {
        "name": contents.name,
        "metrics": contents.metrics,
        "notes": contents.notes,
        "command": command_of(contents.config),
        "settings": _settings(contents.config),
        "environment": list(_flatten(contents.environment)),
        "headline": headline_rows(contents.metrics),
        "majority": majority_class(contents),
        "plots": plots.training_plots(contents),
        "history": list(contents.history),
        "epochs": list(zip(*contents.history.values(), strict=True)),
        "bars": plots.class_histogram(contents),
        "landmarks": landmarks,
        "left_out": left_out,
        "names": contents.landmarks,
        "matrix": confusion_rows(contents, MAX_CELLS // num_runs),
        "pairs": confused_pairs(contents),
        "photos": _photos(run),
        "total": len(contents.results),
        "rejection": contents.metrics.get("rejection"),
        **_measured(contents),
        "suspects": _suspects(run),
        "conflicts": run.conflicts,
        "galleries": [
            ("worst", "Worst mistakes", _gallery(run, run.worst)),
            ("unsure", "Least sure photos", _gallery(run, run.least_sure)),
        ],
    }


def _measured(contents):
    """Returns what was measured besides accuracies, as far as it was."""
    calibration, rejection = contents.measured("calibration"), contents.measured("rejection") or {}
    histogram, faithfulness = rejection.get("histogram"), contents.metrics.get("faithfulness")
    return {
        "calibration": calibration,
        "reliability_plot": reliability_plot(calibration) if calibration else None,
        "others": rejection if "other_photos" in rejection else None,
        "rejection_plot": rejection_plot(histogram, rejection["score"]) if histogram else None,
        "slices": slice_rows(contents),
        "faithfulness": faithfulness,
        "faithfulness_table": faithfulness_table(faithfulness) if faithfulness else None,
        "faithfulness_plots": faithfulness_plots(faithfulness) if faithfulness else [],
        "stability": contents.metrics.get("stability"),
    }


def _settings(config):
    return [
        (field.name, getattr(config, field.name), getattr(config, field.name) != field.default)
        for field in dataclasses.fields(config)
    ]


def _flatten(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}: ")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield prefix + name, shown


def _photos(run):
    """Returns what the page's script needs of each photo."""
    return [
        {
            "id": run.contents.results[number].photo_id,
            "landmark": run.contents.results[number].landmark,
            "predicted": run.contents.results[number].predicted,
            "score": f"{run.contents.results[number].score:.1%}",
            "image": run.images.thumbnails[number],
        }
        for number in run.of_cells
        if number in run.images.thumbnails
    ]


def _suspects(run):
    """Returns each suspect with its photo, or None; None where nobody has asked for them."""
    if run.contents.suspects is None:
        return None
    return [
        (one, run.images.suspects.get(place)) for place, one in enumerate(run.contents.suspects)
    ]


def _gallery(run, numbers):
    return [
        (run.contents.results[number], run.images.views[number], run.images.overlays[number])
        for number in numbers
        if number in run.images.views
    ]
