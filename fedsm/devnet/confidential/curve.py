"""Points of secp256k1: sums, multiples, and their written forms in confidential transactions.

A point is a pair of coordinates, or ``None`` for infinity. Nothing here runs in constant time.
"""

from __future__ import annotations

from functools import cache

Point = tuple[int, int] | None

FIELD = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BASE: Point = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
COMMITMENT = 8  # first byte of a committed amount; one more when its point is the negative one
GENERATOR = 10  # likewise of a committed asset

_Jacobian = tuple[int, int, int]  # x / z^2, y / z^3; z is 0 at infinity
_INFINITY: _Jacobian = (0, 1, 0)
_WINDOW = 4  # bits of a multiplier that one addition takes in


def lift(x: int) -> Point:
    """The point with coordinate ``x`` whose other coordinate is a square. Raises ValueError when there is none."""
    square = (pow(x, 3, FIELD) + 7) % FIELD
    y = pow(square, (FIELD + 1) // 4, FIELD)
    if x >= FIELD or y * y % FIELD != square:
        raise ValueError("not a point of the curve")
    return x, y


def read_point(data: bytes, kind: int) -> Point:
    """A commitment or generator (``kind`` is its first byte) of 33 bytes. Raises ValueError."""
    if len(data) != 33 or data[0] & ~1 != kind:
        raise ValueError("not a point of this kind")
    point = lift(int.from_bytes(data[1:], "big"))
    return negative(point) if data[0] & 1 else point


def is_square(number: int) -> bool:
    """Whether a number of the field is the square of another."""
    return pow(number, (FIELD - 1) // 2, FIELD) <= 1


def compressed(point: Point) -> bytes:
    """The form that public keys have, 33 bytes. Raises ValueError at infinity."""
    if point is None:
        raise ValueError("infinity has no written form")
    return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(32, "big")


def negative(point: Point) -> Point:
    """What added to ``point`` gives infinity."""
    return None if point is None else (point[0], -point[1] % FIELD)


def total(*points: Point) -> Point:
    """The sum of the points."""
    result = _INFINITY
    for point in points:
        result = _plus(result, point)
    return _affine(result)


def times(factor: int, point: Point) -> Point:
    """``point`` added up ``factor`` times."""
    return combination((factor, point))


def combination(*terms: tuple[int, Point]) -> Point:
    """The sum of every point times its factor; one run of doublings serves them all."""
    rows = [(factor % ORDER, _multiples(point)) for factor, point in terms if point is not None]
    result = _INFINITY
    longest = max((factor.bit_length() for factor, _ in rows), default=0)
    for place in reversed(range(0, longest, _WINDOW)):
        for _ in range(_WINDOW):
            result = _double(result)
        for factor, multiples in rows:
            digit = factor >> place & (1 << _WINDOW) - 1
            if digit:
                result = _plus(result, multiples[digit])
    return _affine(result)


def _multiples(point: tuple[int, int]) -> list[Point]:
    return _multiples_of_base() if point == BASE else _row(point)


@cache
def _multiples_of_base() -> list[Point]:
    return _row(BASE)


def _row(point: Point) -> list[Point]:
    """The point times 0 to 15. One inversion makes all of them affine."""
    row = [_INFINITY]
    for _ in range(1, 1 << _WINDOW):
        row.append(_plus(row[-1], point))
    products = [1]
    for _, _, z in row[1:]:
        products.append(products[-1] * z % FIELD)
    inverse = pow(products[-1], -1, FIELD)
    affine: list[Point] = []
    for place in reversed(range(1, 1 << _WINDOW)):
        x, y, z = row[place]
        own = inverse * products[place - 1] % FIELD
        inverse = inverse * z % FIELD
        square = own * own % FIELD
        affine.append((x * square % FIELD, y * square * own % FIELD))
    return [None, *reversed(affine)]


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if not z:
        return point
    square = y * y % FIELD
    slope = 3 * x * x % FIELD
    middle = 4 * x * square % FIELD
    new_x = (slope * slope - 2 * middle) % FIELD
    return new_x, (slope * (middle - new_x) - 8 * square * square) % FIELD, 2 * y * z % FIELD


def _plus(point: _Jacobian, other: Point) -> _Jacobian:
    if other is None:
        return point
    x, y, z = point
    if not z:
        return other[0], other[1], 1
    square = z * z % FIELD
    across = (other[0] * square - x) % FIELD
    slope = (other[1] * square * z - y) % FIELD
    if not across:
        return _INFINITY if slope else _double(point)
    across_squared = across * across % FIELD
    cube = across_squared * across % FIELD
    middle = x * across_squared % FIELD
    new_x = (slope * slope - cube - 2 * middle) % FIELD
    return new_x, (slope * (middle - new_x) - y * cube) % FIELD, z * across % FIELD


def _affine(point: _Jacobian) -> Point:
    x, y, z = point
    if not z:
        return None
    inverse = pow(z, -1, FIELD)
    square = inverse * inverse % FIELD
    return x * square % FIELD, y * square * inverse % FIELD
