"""`python -m polyfact_dataset.cli` is the command `polyfact`."""

from polyfact_dataset.cli.app import main

main()
