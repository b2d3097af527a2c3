"""What a certificate says of who holds it: nobody can say more by a value than by the certificate."""

import pytest

from changeover.workers.channel.distinguished_name import Attributes, distinguished_name


def common(value: str) -> list[Attributes]:
    return [[("commonName", value)]]


@pytest.mark.parametrize(
    ("subject", "written"),
    [
        ([], ""),
        (common("agent"), "CN=agent"),
        ([[("countryName", "DE")], [("organizationName", "Shop")], *common("agent")], "CN=agent,O=Shop,C=DE"),
        ([[("domainComponent", "example")], [("domainComponent", "shop")]], "DC=shop,DC=example"),
        ([[("commonName", "agent"), ("userId", "7")], [("emailAddress", "a@b")]], "emailAddress=a@b,CN=agent+UID=7"),
        (common("agent,O=Bank"), r"CN=agent\,O=Bank"),
        (common("agent+UID=0"), r"CN=agent\+UID=0"),
        (common('a"b\\c;<d>'), r"CN=a\"b\\c\;\<d\>"),
        (common("#agent "), r"CN=\#agent\ "),
        (common(" a b"), r"CN=\ a b"),
        (common("a\0b"), r"CN=a\00b"),
    ],
)
def test_a_subject_reads_in_one_way(subject: list[Attributes], written: str) -> None:
    assert distinguished_name(subject) == written
