"""Reading of batches while the last one is being worked on."""

from concurrent.futures import ThreadPoolExecutor


def read_ahead(images, batches):
    """Yield ``images[batch]`` for each of `batches`, slices or index arrays; the next is read in a thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        reading = None
        for batch in batches:
            following = thread.submit(images.__getitem__, batch)
            if reading is not None:
                yield reading.result()
            reading = following
        if reading is not None:
            yield reading.result()
