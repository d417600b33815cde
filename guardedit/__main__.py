"""Run the command line with `python -m guardedit`."""

from __future__ import annotations

from guardedit.cli.main import main

if __name__ == "__main__":
    main()
