"""Accountants, one a file; `fedtrade.privacy.accountant` finds them by name.

Importing one loads the library behind it.
"""

__all__: list[str] = []
