"""``python -m keras_temporal_reg`` is the command ``ktr``."""

import sys

from keras_temporal_reg.cli import main

sys.exit(main())
