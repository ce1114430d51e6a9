"""`python -m einsim`: the command line without the installed script."""

from einsim.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
