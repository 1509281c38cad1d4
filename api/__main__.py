"""`python -m api`: runs the API on the host and port of the settings."""

from jobyard.http.server import main

if __name__ == "__main__":
    main()
