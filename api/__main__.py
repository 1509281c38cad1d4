"""`python -m api`: the API of this yard, on the host and port of the settings."""

from jobyard.http.server import main

if __name__ == "__main__":
    main()
