"""Validated settings: values that do not change, refused with the name of each wrong key."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from fedtrade.errors import ConfigurationError

__all__ = ["SettingsRecord", "validation_sentence"]


class SettingsRecord(BaseModel):
    """Validated values that do not change; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Validate nested plain values.

        Raises
        ------
        ConfigurationError
            Naming each key that is unknown, missing or out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigurationError(validation_sentence(error)) from None

    def to_mapping(self) -> dict[str, Any]:
        """Plain nested values, as `from_mapping` takes them."""
        return self.model_dump(mode="json", by_alias=True)


def validation_sentence(error: ValidationError) -> str:
    """Name each wrong key with its value and what was expected."""
    parts = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        given = "" if problem["type"] in ("missing", "value_error") else _given(problem["input"])
        if key:  # else the message is about the whole and names what it is about
            message = f"{key}{given}: {message[0].lower()}{message[1:]}"
        parts.append(message)
    return "; ".join(parts) + "."


def _given(value: Any) -> str:
    return "" if isinstance(value, Mapping) else f"={value!r}"
