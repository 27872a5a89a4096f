"""The command growlab, and python -m growlab."""

import gc


def main() -> None:
    """Load the command line without looking for waste, of which imports make none, and run it: a tenth of its start."""
    gc.disable()
    from growlab.commands import main as run

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
