"""Shows and measures where models look: python -m glr_keras.explain RUN_OR_EXPORT photo.jpg ..."""

import argparse
import sys
import warnings

from glr_keras.explaining.options import COUNT, check_arguments, is_intervention, parse_arguments
from tfrecords.common.console import UserError, run_command, start_tensorflow

EXIT_UNREADABLE = 1  # some photos could not be read; the others are done


def main() -> None:
    args = parse_arguments()
    check_arguments(args)
    warnings.simplefilter("ignore")  # Pillow's, of odd metadata: the picture is what counts
    start_tensorflow()
    failed = run(args)
    if failed:
        print(f"{failed:,} photos could not be read.", file=sys.stderr)
        sys.exit(EXIT_UNREADABLE)


def run(args: argparse.Namespace) -> int:
    """Does what the flags ask for; returns how many photos could not be read."""
    if args.measure:
        from glr_keras.explaining.measuring import measure

        return measure(args)
    if args.stability or args.sanity:
        from glr_keras.explaining.checks import check_sanity, compare_runs

        return (compare_runs if args.stability else check_sanity)(args)
    if is_intervention(args):
        from glr_keras.explaining.intervention import intervene

        return intervene(args)
    return draw(args)


def draw(args: argparse.Namespace) -> int:
    """Draws photos under their maps; returns how many could not be read."""
    from glr_keras.explaining.gallery import Style, write_gallery
    from glr_keras.explaining.photos import chosen_photos
    from glr_keras.inference.landmark_model import load

    photos = chosen_photos(args, COUNT)
    names = model_names(args.models)
    models = {name: load(path) for name, path in zip(names, args.models, strict=True)}
    style = Style(args.landmark, tuple(args.beside), args.opacity, args.stretched)
    gallery = write_gallery(models, photos, style, args.out)
    if not gallery.names and not gallery.failed:
        raise UserError("Standard input named no photos. Expected one path per line.")
    if gallery.names:
        print(
            f"\nAll of them small: {args.out}/contact_sheet*.png; as numbers: {args.out}/maps.npz"
        )
    return gallery.failed


def model_names(paths) -> list[str]:
    """Names models by their folders, or by their whole paths where two folders share a name."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


if __name__ == "__main__":
    run_command(main)
