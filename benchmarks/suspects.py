"""How many planted wrong labels are found first: python benchmarks/suspects.py RUN

Gives 30 of the train photos of a run another label, drawn at random, and counts how many of them
are among the first 60 suspects; over several draws. Photos that are filed wrong already, or are
hard, take the other places.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from show import print_context

PLANTED, FIRST = 30, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a complete run with stored features")
    parser.add_argument("--data-dir", type=Path, help="its records, if they were moved")
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()
    print_context()

    from glr_keras.evaluation.sources import Evaluated
    from glr_keras.inference.loading import records_of

    records = records_of(args.run, args.data_dir)
    views = Evaluated(args.run).stored_views(records, "train", frozen=True)
    found = [plant(views, records.landmarks, seed) for seed in range(args.draws)]
    print(
        f"Of {PLANTED} wrong labels among {len(views):,} photos, {np.mean(found):.1f} are among "
        f"the first {FIRST} suspects (mean of {args.draws} draws: {', '.join(map(str, found))})."
    )


def plant(views, names, seed) -> int:
    """Returns how many of the planted labels are among the first suspects."""
    from glr_keras.evaluation.suspects import find_suspects

    rng = np.random.default_rng(seed)
    planted = rng.choice(len(views), PLANTED, replace=False)
    labels = views.labels.copy()
    labels[planted] = (labels[planted] + rng.integers(1, len(names), PLANTED)) % len(names)
    suspects = find_suspects({"train": dataclasses.replace(views, labels=labels)}, names)
    return len({one.number for one in suspects[:FIRST]} & set(planted.tolist()))


if __name__ == "__main__":
    main()
