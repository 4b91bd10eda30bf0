"""What the driver suite's overlay is opened with."""

BATCH_SIZE = 4
TIMEOUT_S = 0.3
