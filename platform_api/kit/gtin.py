"""Global trade item numbers."""


def has_check_digit(gtin: str) -> bool:
    """Whether the last digit of a GTIN fits the others (GS1 General Specifications, section 7.9)."""
    digits = [int(digit) for digit in reversed(gtin)]
    return (sum(digits[0::2]) + 3 * sum(digits[1::2])) % 10 == 0
