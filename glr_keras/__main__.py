"""Lists the commands, and runs one by its short name: python -m glr_keras"""

import runpy
import sys

from tfrecords.common.console import EXIT_USAGE, exit_with

COMMANDS = {  # short name: (module, what it does), in the order of use
    "build": ("tfrecords.build", "photos or an index -> TFRecords"),
    "check": ("tfrecords.check", "every shard and record of a build"),
    "fit": ("glr_keras.fit", "train on records, or on the built-in demo"),
    "add": ("glr_keras.add", "add photos or a landmark to a run"),
    "features": ("glr_keras.features", "list or delete stored features"),
    "search": ("tuning.search", "search hyperparameters on stored features"),
    "evaluate": ("glr_keras.evaluate", "measure a run, or two on the same photos"),
    "predict": ("glr_keras.predict", "name the landmarks of photos"),
    "explain": ("glr_keras.explain", "show and measure where models look"),
    "report": ("glr_keras.report", "one HTML file about runs"),
    "app": ("glr_keras.app", "a page to try a model on, and a JSON API"),
    "export": ("glr_keras.export", "a run -> a SavedModel that takes photo files"),
}


def main() -> None:
    """Runs `sys.argv`'s command as `python -m MODULE` does, or lists all of them.

    The command's module is not imported but run by name, so that listing is fast and this package
    does not depend on the ones that depend on it.
    """
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
        return
    if name not in COMMANDS:
        exit_with(
            f"error: unknown command {name!r}. Expected one of {', '.join(COMMANDS)}; "
            "see: python -m glr_keras",
            EXIT_USAGE,
        )
    sys.argv = [name, *arguments]
    runpy.run_module(COMMANDS[name][0], run_name="__main__", alter_sys=True)


def overview() -> str:
    """Returns the table of commands as text."""
    width = max(len(module) for module, _ in COMMANDS.values())
    lines = [
        f"  glr-keras {name:<9} python -m {module:<{width}}  {text}"
        for name, (module, text) in COMMANDS.items()
    ]
    return "\n".join(["Commands (add --help for the flags of one):", *lines])


if __name__ == "__main__":
    main()
