"""`python -m jobyard`: the same as the command `jobyard`."""

from jobyard.cli.main import main

if __name__ == "__main__":
    main()
