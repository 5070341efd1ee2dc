"""Serves a page to try a model on, and a JSON API: python -m glr_keras.app RUN_OR_EXPORT"""

import argparse
import sys
import warnings
from pathlib import Path

from glr_keras.inference.model_dir import check_model
from glr_keras.serving.server import bind, serve
from tfrecords.common.console import run_command, start_tensorflow


def main() -> None:
    args = parse_arguments()
    check_model(args.model)
    with bind(args.host, args.port) as listener:
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata: the picture is what counts
        print(f"Loading {args.model} ...", file=sys.stderr)
        start_tensorflow()
        serve(args, listener)


def parse_arguments(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.app",
        description="Serves a page to try a model on in a browser, and a JSON API beside it "
        "(POST /predict, described by /openapi.json). Nothing is written; Ctrl-C stops it.",
    )
    add = parser.add_argument
    add("model", type=Path, help="a run directory or an export")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 for all (default: %(default)s)",
    )
    add("--port", type=int, default=8000, help="0 for any that is free (default: %(default)s)")
    add("--data-dir", type=Path, metavar="DATA", help="where the run's records are, if they moved")
    add("--no-photos", action="store_true", help="show no photos of the records")
    add("--max-mb", type=float, default=32, metavar="MB", help="of a photo (default: %(default)s)")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which the server is asked, such as the one of a proxy; repeatable",
    )
    add(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a site whose pages may use the API, such as https://example.org; repeatable",
    )
    args = parser.parse_args(argv)
    if not 0 <= args.port <= 65_535:
        parser.error(f"--port must be from 0 to 65535, got {args.port}")
    if not 0 < args.max_mb <= 256:
        parser.error(f"--max-mb must be above 0 and at most 256, got {args.max_mb:g}")
    return args


if __name__ == "__main__":
    run_command(main)
