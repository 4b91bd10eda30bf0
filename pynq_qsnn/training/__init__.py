"""Quantization-aware training with Brevitas and PyTorch. Importing this package imports neither."""
