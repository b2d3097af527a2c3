"""A certificate's subject as a string that reads in one way only: RFC 4514. Pure."""

import re
from collections.abc import Iterable

Attributes = Iterable[tuple[str, str]]
"""Name and value of each of what stands at one level of the name, as `ssl` tells them."""

SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""What RFC 4514 calls them (section 3); others keep the name that OpenSSL has for them."""
_SPECIAL = re.compile(r'[\\",+;<>\0]|^[ #]| $')


def distinguished_name(subject: Iterable[Attributes]) -> str:
    """Write the most specific level first."""
    return ",".join(reversed(["+".join(map(_written, level)) for level in subject]))


def _written(attribute: tuple[str, str]) -> str:
    kind, value = attribute
    return f"{SHORT.get(kind, kind)}={_SPECIAL.sub(_escaped, value)}"


def _escaped(found: re.Match[str]) -> str:
    return "\\00" if found[0] == "\0" else f"\\{found[0]}"
