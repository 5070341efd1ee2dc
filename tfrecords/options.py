"""BuildOptions: the choices of `python -m tfrecords.build`, their flags and checks."""

import argparse
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from tfrecords.common.console import UserError
from tfrecords.common.flags import REQUIRED, add_flags, flag_of, option
from tfrecords.download.options import FetchOptions
from tfrecords.sources.archives import GOOGLE_LANDMARK_URL
from tfrecords.splitting.stratified import PERCENTAGES, check_percentages

MIN_SHORT_SIDE = 32  # pixels
TITLES = {
    "source": "where the photos come from",
    "choice": "which landmarks, which photos",
    "records": "records",
    "download": "downloading (--download); exit code 3: the same command may get what is missing",
    "beam": "Apache Beam (pip install -e '.[beam]')",
}


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Where photos come from, which are taken, and how they are split.

    Attributes are those of the flags: see `python -m tfrecords.build --help`. `split` is None for
    70/15/15, or for a pre-split folder; `fetch` is None for the defaults of a download;
    `beam_flags` is what `for_beam` fills in; `demo` says that the photos are the built-in demo's,
    which the manifest keeps.

    Raises:
        UserError: options that contradict each other, have no effect or are out of their range.
    """

    out: Path = option(REQUIRED, "folder to make; must not exist")
    photos: Path | None = option(
        None,
        "one sub-folder per landmark, or train/ validation/ test/ with these inside; with --csv: "
        "files DIR/ID.jpg or DIR/a/b/c/ID.jpg",
        "source",
        metavar="DIR",
    )
    follow_links: bool = option(
        False, "follow links that lead out of --photos (default: they are left out)", "source"
    )
    csv: Path | None = option(
        None,
        "train.csv (id,url,landmark_id), train_clean.csv (landmark_id,images), or paths below "
        "--photos and names of landmarks (filename,label)",
        "source",
        metavar="INDEX",
    )
    download: bool = option(
        False, "fetch the index's URLs into --photos (default: OUT.photos)", "source"
    )
    archives: str | None = option(
        None,
        "fetch these archives of Google Landmarks v2 into --tars (default: OUT.archives)",
        "source",
        metavar="0-9",
    )
    archives_url: str | None = option(
        None,
        f"where the archives are, such as a mirror (default: {GOOGLE_LANDMARK_URL})",
        "source",
        metavar="URL",
    )
    tars: Path | None = option(None, "read photos from DIR/*.tar", "source", metavar="DIR")
    add_to: Path | None = option(
        None,
        "records that the photos of --photos are added to: OUT holds both, split as if they had "
        "been built together",
        "source",
        metavar="DATA",
    )
    reuse: Path | None = option(
        None,
        "records of an earlier build: photos whose files have not changed since are taken from "
        "there, not converted again",
        "source",
        metavar="DATA",
    )
    names: Path | None = option(
        None,
        "train_label_to_category.csv (landmark_id,category): names of landmarks",
        "source",
        metavar="CSV",
    )
    top: int | None = option(None, "the N landmarks of most photos", "choice", metavar="N")
    skip_top: int = option(0, "but not the first M of these", "choice", metavar="M")
    landmarks: str | None = option(
        None,
        "landmark ids, one per line; report27: the 27 of the report of 2018",
        "choice",
        metavar="FILE",
    )
    min_photos: int = option(1, "only landmarks with N photos listed", "choice", metavar="N")
    max_photos: int | None = option(
        None, "at most N photos per landmark, drawn by --seed", "choice", metavar="N"
    )
    split: tuple[int, int, int] | None = option(
        None,
        f"percent (default: {' '.join(map(str, PERCENTAGES))})",
        "records",
        nargs=3,
        type=int,
        metavar=("TRAIN", "VALIDATION", "TEST"),
    )
    seed: int = option(0, "of choice and split", "records")
    short_side: int = option(256, "scale larger photos down to this", "records", metavar="PIXELS")
    processes: int | None = option(
        None, "photos read at once (default: one per core)", "records", metavar="N"
    )
    fetch: FetchOptions | None = None
    beam_runner: str | None = option(
        None, "DirectRunner, FlinkRunner, ...", "beam", metavar="RUNNER"
    )
    beam_options: str = option("", "passed on to Beam", "beam", metavar="KEY=VALUE,...")
    beam_flags: tuple[str, ...] = ()
    demo: bool = False

    def __post_init__(self):
        self._check_paths()
        self._check_source()
        self._check_effects()
        if self.split is not None:
            check_percentages(self.split)
        if self.short_side < MIN_SHORT_SIDE:
            raise UserError(
                f"--short-side must be at least {MIN_SHORT_SIDE} pixels, got {self.short_side}."
            )
        if self.processes is not None and self.processes < 1:
            raise UserError(f"--processes must be at least 1, got {self.processes}.")

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
            beam_flags=tuple(parse_beam_options(self.beam_runner or "", self.beam_options)),
        )

    @property
    def earlier(self) -> Path | None:
        """Records of an earlier build that photos are taken from."""
        return self.add_to or self.reuse

    @property
    def photo_folder(self) -> Path:
        """Where photos are, or are kept once they are fetched."""
        return self.photos or self.out.with_name(self.out.name + ".photos")

    @property
    def tar_folder(self) -> Path:
        """Where tar files are, or are kept once they are fetched."""
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
            "demo": self.demo,
        }

    def _check_paths(self):
        for name in ("out", "photos", "csv", "tars", "names", "landmarks"):
            path = getattr(self, name)
            # A Path has one slash left of gs://bucket; a single letter is a drive of Windows.
            if path and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]", str(path)):
                kind = "folder" if name in ("out", "photos", "tars") else "file"
                raise UserError(
                    f"--{name} must be a {kind} of this machine, got a URL ({path}). Copy what is "
                    "there to a local disk, or mount the bucket as a folder."
                )
        if self.csv or not self.photos:
            return
        if Path(self.out).resolve().is_relative_to(Path(self.photos).resolve()):
            raise UserError(
                f"--out {self.out} lies inside --photos {self.photos}, where the next build would "
                "take it for a landmark. Name a folder outside of it."
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

    def _check_effects(self):
        """Refuses flags without effect: whoever gave them expects one."""
        if self.beam_options and not self.beam_runner:
            raise UserError(
                "--beam-options needs --beam-runner too, as in --beam-runner DirectRunner."
            )
        if self.processes and self.beam_runner:
            raise UserError(
                "--processes has no effect on Beam: leave it out, and give the runner's own "
                "option, as in --beam-options direct_num_workers=2."
            )
        if self.earlier and self.beam_runner:
            raise UserError("--add-to and --reuse are not for --beam-runner: leave that out.")
        if self.add_to:
            self._check_addition()
        if self.follow_links and self.csv:
            raise UserError("--follow-links is for a photo folder: it has no effect with --csv.")
        if self.archives_url and not self.archives:
            raise UserError("--archives-url needs --archives too, as in --archives 0-9.")
        if self.fetch is not None and not self.download:
            changed = asdict(self.fetch).items() - asdict(FetchOptions()).items()
            flags = ", ".join(sorted(flag_of(name) for name, _ in changed))
            raise UserError(
                f"Without --download the flags of a download ({flags or 'at their defaults'}) have "
                "no effect: leave them out, or add --csv INDEX --download."
            )

    def _check_addition(self):
        """Refuses what the records that photos are added to have decided."""
        decided = ("csv", "reuse", "names", "top", "skip_top", "landmarks", "min_photos")
        decided += ("max_photos", "split", "seed", "short_side")
        defaults = {one.name: one.default for one in fields(self)}
        changed = [name for name in decided if getattr(self, name) != defaults[name]]
        if changed:
            flags = ", ".join(map(flag_of, changed))
            raise UserError(
                "--add-to takes --photos with a sub-folder per landmark, and keeps all else of "
                f"{self.add_to}; got {flags}."
            )


def parse_options(argv=None) -> BuildOptions:
    """Reads the command line.

    Raises:
        UserError: flags that contradict each other or have no effect.
    """
    flags = vars(_parser().parse_args(argv))
    of_fetch = flags.keys() & {field.name for field in fields(FetchOptions)}
    if of_fetch:
        flags["fetch"] = FetchOptions(**{name: flags.pop(name) for name in of_fetch})
    if "split" in flags:
        flags["split"] = tuple(flags["split"])
    return BuildOptions(**flags)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tfrecords.build",
        description="Turns photos of landmarks into checked TFRecords. Interrupted, the same "
        "command resumes.",
    )
    add_flags(parser, BuildOptions, TITLES)
    add_flags(parser, FetchOptions, TITLES)
    return parser
