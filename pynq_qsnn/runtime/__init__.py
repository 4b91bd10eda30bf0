"""Executors of an integer network: fast host simulator, HLS C simulation, overlay."""
