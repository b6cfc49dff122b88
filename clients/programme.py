"""What a run consists of, by its settings: a participant answers for nothing else.

Or a server could have the same sum under many names, or rounds without end.
"""

from flwr.app import ConfigRecord, Message, MessageType

from clients.contributed import EPISODE, kind_of
from clients.participant import Participant
from fedtrade.errors import ProtocolError
from fedtrade.nodes.limits import check_round
from fedtrade.wire import CONFIG, ROUND_NUMBER, SUM, SUM_NAME

__all__ = ["check_programme"]


def check_programme(message: Message, participant: Participant) -> None:
    """Refuse a sum, round or episode that the run does not have.

    Raises
    ------
    ProtocolError, LimitError
    """
    config = message.content.config_records.get(CONFIG, ConfigRecord())
    kind, episode = kind_of(message), config.get(EPISODE)
    n_models = participant.n_models
    if type(episode) is not int or episode < 0 or (n_models is not None and episode >= n_models):
        raise ProtocolError(
            f"the server asks for episode {episode!r}, and the run's settings have "
            f"{'whole numbers' if n_models is None else n_models} of them, from 0."
        )
    if kind == MessageType.TRAIN:
        check_round(config.get(ROUND_NUMBER), participant.n_rounds)
    name = config.get(SUM_NAME)
    if kind == SUM and name not in participant.task.sums:
        raise ProtocolError(
            f"the server asks for the sum {name!r}, and the task {participant.task.name} has "
            f"{', '.join(participant.task.sums) or 'none'}."
        )
