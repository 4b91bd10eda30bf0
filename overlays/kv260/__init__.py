"""The KV260 overlay's folder, where pynq looks for qsnn_kv260.bit."""
