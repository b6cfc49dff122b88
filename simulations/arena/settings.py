"""What a sweep of the arena needs to know, as typed values; composed from `conf/arena*.yaml`."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from fedtrade.settings import Component
from fedtrade.settings_record import SettingsRecord

__all__ = ["ArenaSettings", "Choice", "Definition"]


class _Record(SettingsRecord):
    model_config = ConfigDict(populate_by_name=True)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class _Choice(_Record):
    """A rule or an attack: its name, and for one of the user's own its import path and options."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    name: Annotated[str, Field(min_length=1)]
    target: Annotated[
        str | None, Field(alias="_target_", pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$")
    ] = None

    @property
    def component(self) -> Component | None:
        """What is behind the name, if that is said here."""
        if self.target is None:
            return None
        return Component.model_validate({"_target_": self.target, **(self.model_extra or {})})

    @model_validator(mode="after")
    def _check_options(self) -> "_Choice":
        if self.target is None and self.model_extra:
            options = ", ".join(self.model_extra)
            raise ValueError(
                f"{self.name} has options ({options}) but no _target_; write them in brackets "
                f"behind its name, such as {self.name}(option=1)"
            )
        return self


Choice = Annotated[_Choice, BeforeValidator(_named)]


class Definition(Component):
    """A problem: `_target_` is called with the options, `heterogeneity` and `seed`.

    Attributes
    ----------
    headline : str
        The metric of the heat map and of the worst case; more is better.
    also : tuple of str
        Further metrics of which more is better; the report names their worst cases too.
    levels : tuple of str
        Heterogeneity.
    """

    headline: Annotated[str, Field(min_length=1)]
    also: tuple[str, ...] = ()
    levels: Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def component(self) -> Component:
        """What builds the problem."""
        return Component.model_validate({"_target_": self.target, **self.options})


Share = Annotated[float, Field(ge=0.0, lt=0.5)]
GroupSize = Annotated[int, Field(ge=2)]


class ArenaSettings(_Record):
    """One sweep: every rule against every attack at each share, level and seed.

    Attributes
    ----------
    problems : tuple of str
        Which of those in `problem` are run.
    problem : mapping of str to Definition
    group_sizes : tuple of int or None
        See `Cell`; None for participants' own updates.
    assumed_share : float or None
        See `Cell`.
    strategy, reference : Component
        See `Cell`.
    n_workers : int or None
        Processes; None for one a core, 0 for none but this one.
    """

    problems: Annotated[tuple[str, ...], Field(min_length=1)]
    problem: dict[str, Definition]
    rules: Annotated[tuple[Choice, ...], Field(min_length=1)]
    attacks: Annotated[tuple[Choice, ...], Field(min_length=1)]
    shares: Annotated[tuple[Share, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    group_sizes: Annotated[tuple[GroupSize | None, ...], Field(min_length=1)] = (None,)
    assumed_share: Share | None = None
    strategy: Component
    reference: Component
    n_workers: Annotated[int, Field(ge=0)] | None = None
    out: str
    resume: bool = True
    progress: Literal["auto", "plain", "none"] = "auto"

    @field_validator("problems", "rules", "attacks", "shares", "seeds", "group_sizes")
    @classmethod
    def _check_different(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [value.name if isinstance(value, _Choice) else value for value in values]
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise ValueError(f"{repeated[0]!r} is there more than once")
        return values

    @model_validator(mode="after")
    def _check_problems(self) -> "ArenaSettings":
        for name in self.problems:
            if name not in self.problem:
                known = ", ".join(self.problem)
                raise ValueError(f"there is no problem {name!r}; choose from {known}")
        return self

    def chosen(self) -> Iterator[tuple[str, Definition]]:
        """The problems that are run, by name."""
        for name in self.problems:
            yield name, self.problem[name]
