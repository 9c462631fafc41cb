"""Numbers as JavaScript writes and rounds them."""

from __future__ import annotations

import math


def js_number(value: float) -> str:
    """A finite number as `Number.prototype.toString` writes it (ECMAScript 2024, 6.1.6.1.20).

    >>> [js_number(x) for x in (85.0, 15.8, -0.0, 1e21, 1e-7, 123456789012345680000.0)]
    ['85', '15.8', '0', '1e+21', '1e-7', '123456789012345680000']
    """
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(float(value))).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def half_up(value: float, decimals: int = 2) -> float:
    """`Math.round(x * 100) / 100`: halves go up, also below zero."""
    scale = 10.0**decimals
    scaled = value * scale
    if not math.isfinite(scaled):
        return value
    below = math.floor(scaled)
    return (below + (scaled - below >= 0.5)) / scale
