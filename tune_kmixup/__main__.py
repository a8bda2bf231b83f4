"""`python -m tune_kmixup`, the same as the command tune-kmixup."""

from tune_kmixup.cli.commands import main

if __name__ == "__main__":
    main()
