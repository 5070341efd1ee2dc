"""Checks records on disk: python -m tfrecords.check DATA"""

import argparse
import sys
from pathlib import Path

from tfrecords.common.console import run_command
from tfrecords.validation.report import print_report
from tfrecords.validation.runner import check

EXIT_FOUND = 1


def main() -> None:
    args = parse_args()
    report = check(args.data, args.quick, args.processes)
    print_report(report, args.data)
    sys.exit(EXIT_FOUND if report.findings else 0)


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tfrecords.check",
        description="Checks what `python -m tfrecords.build` made: every file, record and photo, "
        "and that no photo has a copy in another split. Exits with 0 if all is well, with 1 if "
        "anything is wrong, with 2 if DATA is no such folder.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that was built")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only files, sizes, counts, framing and checksums: no photo is decoded or compared",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="shards read at once (default: one per core)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
