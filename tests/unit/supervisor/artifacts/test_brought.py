"""What a plugin has of distributions in its own folder of packages meets what it needs of them."""

from changeover.supervisor.artifacts.brought import brought

FILES = (
    "vendor/Geo_Lib-2.1.dist-info/METADATA",
    "vendor/geolib/__init__.py",
    "vendor/six.py",
    "vendor/old-1.0-py3.11.egg-info",
    "vendor",
    "geo.py",
    "other/deep/vendor/x.py",
)


def test_records_say_the_version_and_bare_packages_none() -> None:
    assert brought("vendor", FILES) == {"geo-lib": "2.1", "geolib": "", "six": "", "old": "1.0"}


def test_a_record_counts_wherever_it_comes_in_order() -> None:
    assert brought("vendor", ("vendor/six.py", "vendor/six-1.16.dist-info/RECORD")) == {"six": "1.16"}
    assert brought("vendor", ("vendor/six-1.16.dist-info/RECORD", "vendor/six.py")) == {"six": "1.16"}


def test_the_folder_may_lie_deeper_and_without_one_there_is_nothing() -> None:
    assert brought("other/deep/vendor", FILES) == {"x": ""}
    assert brought("", FILES) == {}
