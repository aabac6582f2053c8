"""Size limits of keys and values, checked by servers and clients."""

MAX_KEY_BYTES = 1024
MAX_VALUE_BYTES = 1024 * 1024


def check_key(key: str) -> None:
    """Raise `ValueError` when the key is empty or too large."""
    size = len(key.encode())
    if not 0 < size <= MAX_KEY_BYTES:
        raise ValueError(f"key of {size} bytes: a key has 1 to {MAX_KEY_BYTES} bytes of UTF-8")


def check_value(key: str, value: bytes) -> None:
    """Raise `ValueError` when the value is too large."""
    if len(value) > MAX_VALUE_BYTES:
        raise ValueError(f"value of {len(value)} bytes for key {key!r}: a value has at most {MAX_VALUE_BYTES} bytes")
