"""Where overlays/, hls/, models/ and notebooks/ lie: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(folder: str, *parts: str) -> Path:
    """Path of a shipped file, such as ``resource("overlays", "kv260", "config.json")``; it may not exist."""
    inside = _PACKAGE / folder
    return (inside if inside.is_dir() else _PACKAGE.parent / folder).joinpath(*parts)
