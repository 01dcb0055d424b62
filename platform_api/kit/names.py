"""What people may call things that paths name, the same by hand and from files. Pure."""

import re
from typing import Final

SKU_PATTERN: Final = r"^[^\x00-\x1f\x7f/?#%:]+$"
ORG_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"

_SKU: Final = re.compile(SKU_PATTERN)
_ORG: Final = re.compile(ORG_PATTERN)


def check_sku(name: str) -> str:
    """The name, when a path can hold it. Raises ValueError."""
    if _SKU.fullmatch(name) is None:
        msg = "a SKU has none of / ? # % : in it, since addresses name it, and no control characters"
        raise ValueError(msg)
    return name


def check_org(name: str) -> str:
    """The name, when a path can hold it. Raises ValueError."""
    if _ORG.fullmatch(name) is None:
        msg = "an organisation is named by a-z, 0-9, _ and -, since addresses name it"
        raise ValueError(msg)
    return name
