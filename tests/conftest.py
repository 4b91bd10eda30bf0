"""Lies here so that pytest puts this folder on the path: tests share random_networks.py."""
