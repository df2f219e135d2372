"""`python -m mtv_train`."""

import sys

from mtv_train.cli import main

if __name__ == "__main__":
    sys.exit(main())
