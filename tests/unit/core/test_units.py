import pytest

from actors.core.errors import InvalidUnitsError
from actors.core.units import UNITS_PER_DEVICE, fraction_from_units, units_from_fraction


@pytest.mark.parametrize(("fraction", "units"), [(0.15, 1500), ("0.0001", 1), (0, 0), (1, 10_000), (0.3, 3000), (0.29, 2900)])
def test_a_fraction_becomes_the_units_it_prints_as(fraction, units):
    assert units_from_fraction(fraction) == units


@pytest.mark.parametrize("fraction", [-0.1, 1.0001, 0.00001, "abc", "nan", "inf", ""])
def test_what_is_no_fraction_of_a_device_is_refused(fraction):
    with pytest.raises(InvalidUnitsError, match="fraction of a device"):
        units_from_fraction(fraction)


def test_every_amount_survives_the_way_out_and_back():
    assert all(units_from_fraction(fraction_from_units(units)) == units for units in range(UNITS_PER_DEVICE + 1))
