"""The participants' ClientApp, in which liars train on poisoned data.

Worker processes import it by name and learn from the settings of the run who lies and how. Only
training is poisoned: what liars say of their data, add to sums and score stays honest.
"""

from functools import lru_cache

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.client_app import app as honest
from fedtrade.settings import Settings
from simulations.attacks.attacked_grid import is_training, round_of
from simulations.attacks.cast import Cast

__all__ = ["app"]


class _PoisonedApp(ClientApp):
    """Gives a liar's training messages to the honest app with other settings: a poisoned task."""

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message."""
        text = str(context.run_config.get("settings", ""))
        number = context.node_config.get("partition-id")
        if not is_training(message):
            return honest(message, context)
        cast = _cast(text)
        is_bad = cast.attack.is_active(round_of(message.content) or 1)
        if number not in cast.attackers or not is_bad:
            return honest(message, context)
        other = Context(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config=context.node_config,
            state=context.state,
            run_config={**context.run_config, "settings": _poisoned(text)},
        )
        return honest(message, other)


app: ClientApp = _PoisonedApp()


@lru_cache(maxsize=8)
def _cast(settings_json: str) -> Cast:
    cast = Cast.of(Settings.from_json(settings_json))
    if cast is None:
        raise ValueError("the settings have no attack.")
    return cast


@lru_cache(maxsize=8)
def _poisoned(settings_json: str) -> str:
    """The settings with the task that liars train on."""
    settings = Settings.from_json(settings_json)
    task = {
        **settings.task.options,
        "_target_": "simulations.attacks.poisoned_risk.PoisonedRisk",
        "poison": settings.to_mapping()["attack"],
        "poison_seed": settings.seed,
    }
    return Settings.from_mapping({**settings.to_mapping(), "task": task}).to_json()
