"""`python -m rgunicorn`, and the console script."""

import sys

from rgunicorn import main


def run():
    """Run the server with the arguments of this process, and end with its exit status."""
    sys.exit(main())


if __name__ == "__main__":
    run()
