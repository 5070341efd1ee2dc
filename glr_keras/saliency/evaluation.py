"""faithfulness: measures and compares maps of any Keras model from photos to probabilities."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from glr_keras.saliency import localization, measures
from glr_keras.saliency.grids import coarsest_grid, control_maps, to_grid
from glr_keras.saliency.perturbation import IMAGENET_MEAN, PerturbedPhoto
from glr_keras.saliency.result import Faithfulness

STEPS = 12  # of the curves: twice as many cost half of the photos, whose number decides
BATCH = 32  # perturbed photos per call of the model


@dataclasses.dataclass(frozen=True)
class _Settings:
    """How photos are perturbed, and for how long; see `faithfulness`."""

    grid: tuple[int, int]
    seconds: float | None
    steps: int
    groups: Sequence[str]
    baselines: Sequence[str]
    mean: np.ndarray
    batch_size: int
    seed: int

    @property
    def fractions(self) -> np.ndarray:
        """Of the cells that are gone, or back, at each step of a curve: float64 `(steps + 1,)`."""
        cells = math.prod(self.grid)
        return measures.step_counts(cells, self.steps) / cells

    def parameters(self, photos: int) -> dict:
        """Returns all that the numbers of that many photos depend on, see `Faithfulness`."""
        return {
            "photos": photos,
            "grid": list(self.grid),
            "steps": len(self.fractions) - 1,
            "groups": list(self.groups),
            "baselines": list(self.baselines),
            "mean": self.mean.tolist() if self.mean.size <= 4 else "given",
            "road_fractions": list(measures.ROAD_FRACTIONS),
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "seed": self.seed,
        }


def faithfulness(
    model: Callable,
    photos: np.ndarray,
    maps: Mapping[str, np.ndarray] | np.ndarray,
    *,
    boxes: np.ndarray | None = None,
    seconds: float | None = None,
    controls: bool = True,
    grid: tuple[int, int] | None = None,
    steps: int = STEPS,
    groups: Sequence[str] = measures.GROUPS,
    baselines: Sequence[str] = measures.BASELINES,
    mean: Sequence[float] = IMAGENET_MEAN,
    batch_size: int = BATCH,
    seed: int = 0,
) -> Faithfulness:
    """Measures whether maps show what the answers of a model depend on.

    Cells of the photo are removed or restored in the order of each map, and the probability of the
    class that the model predicts on the clean photo is watched. All maps are compared on one grid,
    cell by whole cell: smooth maps would else win by their smoothness.

    ```python
    network = keras.applications.MobileNetV2()  # or any other
    preprocess = keras.applications.mobilenet_v2.preprocess_input
    photos_in = keras.Input((224, 224, 3))
    model = keras.Model(photos_in, network(preprocess(photos_in)))
    result = glr_keras.faithfulness(model, photos, {"mine": maps}, seconds=120)
    print(result)
    ```

    Args:
        model: Keras model, or any callable, from float32 photos `(batch, height, width, channels)`
            to class probabilities `(batch, classes)`, or to a dict that has them as
            "probabilities". Its preprocessing is inside.
        photos: float `(photos, height, width, channels)` as the model takes them, e.g. RGB in
            [0, 255]. Features of a frozen network work as well, with a model that starts there,
            `mean`, and neither "blur" nor "road".
        maps: Dict from names to `(photos, rows, columns)`, larger where a cell matters more; or one
            such array.
        boxes: `(photos, 4)`, (ymin, xmin, ymax, xmax) in [0, 1] of the photo; all 0 where unknown.
            Maps are then also compared with them.
        seconds: Time to spend. Photos are taken in order until it is used up; None takes all.
        controls: Bool, whether maps named "random" and "centre" are measured as well.
        grid: (rows, columns) on which maps are compared; None for the coarsest grid among them. The
            size of a photo removes single pixels.
        steps: Int, of a curve.
        groups: Names among "deletion", "insertion", "road" and "drop".
        baselines: Names among "mean" and "blur": what stands in place of removed cells.
        mean: Per channel, of the baseline "mean"; ImageNet's in [0, 255] if not given.
        batch_size: Int, perturbed photos per call.
        seed: Int, of random maps, ties, noise and intervals.

    Returns:
        `Faithfulness`: scores per photo, map and measure, their means, intervals and differences.

    Raises:
        ValueError: shapes that do not fit, a model whose rows do not add up to 1, an unknown name,
            or time too short for a single photo.
    """
    photos = np.asarray(photos, np.float32)
    named = _checked_maps(maps, photos)
    _check_boxes(boxes, len(photos))
    _check_names("groups", groups, measures.GROUPS)
    _check_names("baselines", baselines, measures.BASELINES)
    grid = grid or coarsest_grid(named.values())
    if controls:
        named |= control_maps(len(photos), grid, seed)
    settings = _Settings(
        grid, seconds, steps, groups, baselines, np.asarray(mean), batch_size, seed
    )
    measured = _measure_photos(_probabilities_of(model), photos, named, settings)
    scores, curves = _scores(measured, named, boxes), _curves(measured)
    return Faithfulness(scores, curves, settings.fractions, settings.parameters(len(measured)))


def _measure_photos(ask, photos, maps, settings) -> list[dict[str, tuple[dict, dict]]]:
    """Measures photo after photo while there is time; returns what `_measure` says of each."""
    started, seconds = time.monotonic(), settings.seconds
    on_grid = {name: to_grid(one, *settings.grid) for name, one in maps.items()}
    measured = []
    needed = 0.0  # seconds, of the photo before
    for number, photo in enumerate(photos):
        before = time.monotonic()
        if seconds is not None and number and before - started + needed > seconds:
            break
        limit = None if number or seconds is None else started + seconds
        saliencies = {name: one[number] for name, one in on_grid.items()}
        measured.append(_measure(ask, photo, saliencies, number, limit, settings))
        needed = time.monotonic() - before
    return measured


def _measure(ask, photo, saliencies, number, limit, settings):
    """Measures all maps of one photo: dict from name to (measures, curves)."""
    random = np.random.default_rng([settings.seed, number])
    perturbed = PerturbedPhoto(photo, settings.mean, random)
    clean = perturbed.without("mean", np.zeros((1, 1), bool))
    tie_break = random.permutation(math.prod(settings.grid)).reshape(settings.grid)
    requests = {
        name: measures.request_versions(
            perturbed, one, tie_break, settings.steps, settings.groups, settings.baselines
        )
        for name, one in saliencies.items()
    }
    probabilities = _ask_all(ask, perturbed, settings.batch_size, limit)
    answer = probabilities[:, probabilities[clean].argmax()]
    result = {}
    for name, numbers in requests.items():
        curves = {curve: answer[rows] for curve, rows in numbers.items()}
        scores = measures.measure_curves(curves, saliencies[name], tie_break, settings.steps)
        result[name] = scores, curves
    return result


def _ask_all(ask, perturbed, batch_size, limit):
    """Probabilities of all versions; gives up early where they can't be had before `limit`."""
    batches = -(-len(perturbed) // batch_size)
    answers = []
    for batch in perturbed.batches(batch_size):
        started = time.monotonic()
        answers.append(ask(batch))
        now = time.monotonic()
        needed = (now - started) * (batches - len(answers))
        if limit is not None and len(answers) > 1 and now + needed > limit:
            raise ValueError(
                f"One photo takes about {(now - started) * batches:.0f} s here: "
                f"{len(perturbed)} perturbed versions. Allow more time, or ask for fewer maps, "
                "measures or steps."
            )
    return np.concatenate(answers)[: len(perturbed)]


def _probabilities_of(model) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a batch of photos to checked probabilities."""
    call = getattr(model, "predict_on_batch", model)

    def ask(batch):
        answer = call(batch)
        if isinstance(answer, Mapping):
            if "probabilities" not in answer:
                raise ValueError(f"the model returns {sorted(answer)}, not 'probabilities'")
            answer = answer["probabilities"]
        answer = np.asarray(answer, np.float64)
        if answer.ndim != 2 or len(answer) != len(batch):
            raise ValueError(f"expected ({len(batch)}, classes) from the model, got {answer.shape}")
        if np.abs(answer.sum(1) - 1).max() > 0.02 or answer.min() < 0:
            raise ValueError(
                "expected probabilities that add up to 1, got rows that add up to "
                f"{answer.sum(1).min():.3g} to {answer.sum(1).max():.3g}. Put a softmax behind the "
                "model."
            )
        return answer

    return ask


def _checked_maps(maps, photos) -> dict[str, np.ndarray]:
    if photos.ndim != 4 or not len(photos):
        raise ValueError(f"expected photos (n, height, width, channels), got {photos.shape}")
    maps = dict(maps) if isinstance(maps, Mapping) else {"map": maps}
    if not maps:
        raise ValueError("expected at least one map")
    for name, one in maps.items():
        one = maps[name] = np.asarray(one, np.float64)
        if one.ndim != 3 or len(one) != len(photos):
            raise ValueError(
                f"maps[{name!r}]: expected ({len(photos)}, rows, columns), got {one.shape}"
            )
        if not np.isfinite(one).all():
            raise ValueError(f"maps[{name!r}] has values that are no numbers")
    return maps


def _check_boxes(boxes, photos):
    if boxes is not None and np.shape(boxes) != (photos, 4):
        raise ValueError(f"expected boxes ({photos}, 4), got {np.shape(boxes)}")


def _check_names(what, names, known):
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{what}: expected names among {', '.join(known)}, got {unknown[0]!r}")


def _scores(measured, maps, boxes) -> dict[str, dict[str, np.ndarray]]:
    """Collects the measures of all photos, and compares maps with boxes, if there are any."""
    scores = {}
    for name, one in maps.items():
        scores[name] = _columns([of_photo[name][0] for of_photo in measured], len(one))
        if boxes is not None:
            rows = [localization.localization(*pair) for pair in zip(one, boxes, strict=True)]
            scores[name] |= _columns(rows, len(one))
    return scores


def _columns(rows: Sequence[dict], photos: int) -> dict[str, np.ndarray]:
    """Turns one dict per photo into arrays `(photos,)`; NaN for photos that were not measured."""
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        columns[name] = np.array(values + [np.nan] * (photos - len(values)))
    return columns


def _curves(measured) -> dict[str, dict[str, np.ndarray]]:
    """Collects the curves of all photos that were measured."""
    return {
        name: {
            curve: np.array([of_photo[name][1][curve] for of_photo in measured]) for curve in of_map
        }
        for name, (_, of_map) in measured[0].items()
    }
