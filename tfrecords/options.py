"""BuildOptions: what `python -m tfrecords.build` can be told, its flags and their checks."""

import argparse
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.download.options import FetchOptions
from tfrecords.sources.archives import GOOGLE_LANDMARK_URL
from tfrecords.splitting.stratified import SHARES, check_shares

MIN_SHORT_SIDE = 32  # pixels


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Where photos come from, which are taken, and how they are split.

    Attributes are those of the flags: see `python -m tfrecords.build --help`. `split` is None for
    70/15/15, or for a folder that is split already; `beam_flags` is what `for_beam` fills in, and
    `demo` says that the photos are the built-in demo's: the manifest keeps that.
    """

    out: Path
    photos: Path | None = None
    follow_links: bool = False
    csv: Path | None = None
    names: Path | None = None
    tars: Path | None = None
    archives: str | None = None
    archives_url: str = GOOGLE_LANDMARK_URL
    download: bool = False
    fetch: FetchOptions = field(default_factory=FetchOptions)
    top: int | None = None
    skip_top: int = 0
    landmarks: str | None = None
    min_photos: int = 1
    max_photos: int | None = None
    split: tuple[int, int, int] | None = None
    seed: int = 0
    short_side: int = 256
    processes: int | None = None
    beam_runner: str | None = None
    beam_options: str = ""
    beam_flags: tuple[str, ...] = ()
    demo: bool = False

    def __post_init__(self):
        self._check_paths()
        self._check_source()
        if self.split is not None:
            check_shares(self.split)
        if self.short_side < MIN_SHORT_SIDE:
            raise UserError(
                f"--short-side must be at least {MIN_SHORT_SIDE} pixels, got {self.short_side}."
            )
        if self.processes is not None and self.processes < 1:
            raise UserError(f"--processes must be at least 1, got {self.processes}.")
        if self.beam_options and not self.beam_runner:
            raise UserError(
                "--beam-options needs --beam-runner too, as in --beam-runner DirectRunner."
            )
        if self.photos and self.out.resolve().is_relative_to(Path(self.photos).resolve()):
            raise UserError(
                f"--out {self.out} lies inside --photos {self.photos}, where the next build would "
                "take it for a landmark. Name a folder outside of it."
            )

    def for_beam(self) -> "BuildOptions":
        """Returns the same with absolute paths, which workers elsewhere need, and Beam's flags.

        Raises:
            UserError: Beam is not installed, or does not know the runner or an option.
        """
        from tfrecords.beam.options import parse_beam_options

        return replace(
            self,
            out=self.out.absolute(),
            photos=self.photos and self.photos.absolute(),
            tars=self.tars and self.tars.absolute(),
            beam_flags=tuple(parse_beam_options(self.beam_runner, self.beam_options)),
        )

    @property
    def photo_folder(self) -> Path:
        """Where photos lie, or are kept once they are fetched."""
        return self.photos or self.out.with_name(self.out.name + ".photos")

    @property
    def tar_folder(self) -> Path:
        """Where tar files lie, or are kept once they are fetched."""
        return self.tars or self.out.with_name(self.out.name + ".archives")

    def describe_choice(self) -> dict:
        """Returns what the manifest says of which photos were chosen, and how they were made."""
        return {
            "choice": {
                "top": self.top,
                "skip_top": self.skip_top,
                "landmarks": self.landmarks and Path(self.landmarks).name,
                "min_photos": self.min_photos,
                "max_photos": self.max_photos,
            },
            "seed": self.seed,
            "short_side": self.short_side,
            **({"demo": True} if self.demo else {}),
        }

    def _check_paths(self):
        for name in ("out", "photos", "tars"):
            path = getattr(self, name)
            # `Path` has made gs:/bucket of gs://bucket by now: a folder of that name.
            if path and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]", str(path)):
                raise UserError(
                    f"--{name} must be a folder of this machine, got a URL ({path}). Build into a "
                    "folder and copy it, or mount the bucket as one."
                )

    def _check_source(self):
        if self.csv is None:
            if self.photos is None:
                raise UserError(
                    "Expected --photos PHOTOS (a folder with one sub-folder per landmark), or "
                    "--csv INDEX with --photos, --download, --tars or --archives; got neither."
                )
            if self.download or self.tars or self.archives:
                raise UserError("--download, --tars and --archives need --csv INDEX too.")
            return
        in_tars = bool(self.tars or self.archives)
        if not (self.photos or self.download or in_tars):
            raise UserError(
                f"--csv {self.csv} says which photos there are, not where: add --photos DIR (files "
                "DIR/ID.jpg or DIR/a/b/c/ID.jpg), --download, --tars DIR or --archives 0-9."
            )
        if in_tars and (self.photos or self.download):
            raise UserError(
                "Photos come from one place: expected --tars or --archives, or --photos or "
                "--download, got both kinds."
            )


def parse_options(argv=None) -> BuildOptions:
    """Reads the command line.

    Raises:
        UserError: flags that contradict each other.
    """
    flags = vars(_parser().parse_args(argv))
    names = {option.name for option in fields(FetchOptions)}
    fetch = FetchOptions(**{name: flags.pop(name) for name in names & flags.keys()})
    if flags["split"] is not None:
        flags["split"] = tuple(flags["split"])
    return BuildOptions(**flags, fetch=fetch)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tfrecords.build",
        description="Turns photos of landmarks into checked TFRecords. Interrupted, the same "
        "command goes on.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make; must not exist")
    _add_source(parser.add_argument_group("where the photos come from"))
    _add_choice(parser.add_argument_group("which landmarks, which photos"))
    _add_records(parser.add_argument_group("records"))
    _add_download(
        parser.add_argument_group(
            "downloading (--download)",
            "Exit code 3: photos are missing that the same command may get later.",
        )
    )
    _add_beam(parser.add_argument_group("Apache Beam (pip install 'glr-keras[beam]')"))
    return parser


def _add_source(group):
    group.add_argument(
        "--photos",
        type=Path,
        metavar="DIR",
        help="one sub-folder per landmark, or train/ validation/ test/ with these inside; with "
        "--csv: files DIR/ID.jpg or DIR/a/b/c/ID.jpg",
    )
    group.add_argument(
        "--follow-links",
        action="store_true",
        help="follow links that lead out of --photos (default: they are left out)",
    )
    group.add_argument(
        "--csv",
        type=Path,
        metavar="INDEX",
        help="train.csv (id,url,landmark_id), train_clean.csv (landmark_id,images), or paths below "
        "--photos and names of landmarks (filename,label)",
    )
    group.add_argument(
        "--download",
        action="store_true",
        help="fetch the index's URLs into --photos (default: OUT.photos)",
    )
    group.add_argument(
        "--archives",
        metavar="0-9",
        help="fetch these archives of Google Landmarks v2 into --tars (default: OUT.archives)",
    )
    group.add_argument(
        "--archives-url",
        default=GOOGLE_LANDMARK_URL,
        metavar="URL",
        help="where the archives are, such as a mirror (%(default)s)",
    )
    group.add_argument("--tars", type=Path, metavar="DIR", help="read photos from DIR/*.tar")
    group.add_argument(
        "--names",
        type=Path,
        metavar="CSV",
        help="train_label_to_category.csv (landmark_id,category): names of landmarks",
    )


def _add_choice(group):
    group.add_argument("--top", type=int, metavar="N", help="the N landmarks of most photos")
    group.add_argument(
        "--skip-top", type=int, default=0, metavar="M", help="but not the first M of these"
    )
    group.add_argument(
        "--landmarks",
        metavar="FILE",
        help="landmark ids, one per line; report27: the 27 of the report of 2018",
    )
    group.add_argument(
        "--min-photos", type=int, default=1, metavar="N", help="only landmarks with N photos listed"
    )
    group.add_argument(
        "--max-photos", type=int, metavar="N", help="at most N photos per landmark, drawn by --seed"
    )


def _add_records(group):
    group.add_argument(
        "--split",
        type=int,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help=f"percent (default: {' '.join(map(str, SHARES))})",
    )
    group.add_argument("--seed", type=int, default=0, help="of choice and split (%(default)s)")
    group.add_argument(
        "--short-side",
        type=int,
        default=256,
        metavar="PIXELS",
        help="scale larger photos down to this (%(default)s)",
    )
    group.add_argument(
        "--processes", type=int, metavar="N", help="photos read at once (default: one per core)"
    )


def _add_download(group):
    for option in fields(FetchOptions):
        flag = "--" + option.name.replace("_", "-")
        text = option.metadata["help"]
        if isinstance(option.default, bool):
            group.add_argument(flag, action="store_true", help=text)
        else:
            shown = "" if option.name == "user_agent" else " (%(default)s)"
            kind = type(option.default)
            group.add_argument(flag, type=kind, default=option.default, help=text + shown)


def _add_beam(group):
    group.add_argument("--beam-runner", metavar="RUNNER", help="DirectRunner, FlinkRunner, ...")
    group.add_argument(
        "--beam-options", default="", metavar="KEY=VALUE,...", help="passed on to Beam"
    )
