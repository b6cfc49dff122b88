import fedtrade.report as package


def test_every_listed_name_exists_and_every_public_name_is_listed() -> None:
    import types

    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(package.__all__)
