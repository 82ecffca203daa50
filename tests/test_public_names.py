"""Every package offers the names that it lists."""

import importlib
import pkgutil

import pytest

import mister_e

PACKAGES = [
    "mister_e",
    *(module.name for module in pkgutil.walk_packages(mister_e.__path__, "mister_e.") if module.ispkg),
]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_offers_what_it_lists(name):
    package = importlib.import_module(name)
    names = getattr(package, "__all__", [])
    assert len(set(names)) == len(names)
    for public in names:
        assert getattr(package, public) is not None, public
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018
