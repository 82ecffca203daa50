"""`python -m mister_e`: the command line."""

from __future__ import annotations

from mister_e.cli import main

if __name__ == "__main__":
    main()
