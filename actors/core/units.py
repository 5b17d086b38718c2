"""Amounts of a device as whole numbers.

Owns the one arithmetic of device amounts: integers in ten-thousandths of a device, which is also Ray's own precision, so that no
sum ever needs an epsilon. Floats exist only at the two edges (HTTP bodies, Ray options), and this module is where they turn.
"""

from decimal import Decimal, InvalidOperation

from actors.core.errors import InvalidUnitsError

#: One whole device.
UNITS_PER_DEVICE = 10_000


def units_from_fraction(fraction: float | str | Decimal) -> int:
    """Convert a fraction of a device into units, exactly.

    Args:
        fraction: 0 to 1, for example ``0.15``. A float is read as it prints, so ``0.15`` means fifteen hundredths.

    Raises:
        InvalidUnitsError: not a number, outside 0 to 1, or finer than one ten-thousandth.
    """
    try:
        units = Decimal(str(fraction)) * UNITS_PER_DEVICE
    except InvalidOperation:
        raise InvalidUnitsError(str(fraction)) from None
    if not units.is_finite() or units != units.to_integral_value() or not 0 <= units <= UNITS_PER_DEVICE:
        raise InvalidUnitsError(str(fraction))
    return int(units)


def fraction_from_units(units: int) -> float:
    """Convert units into the fraction that HTTP bodies and Ray options carry (at most four decimals)."""
    return round(units / UNITS_PER_DEVICE, 4)
