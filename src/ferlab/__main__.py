"""`python -m ferlab`, and `torchrun … -m ferlab train …`."""

import sys

from ferlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
