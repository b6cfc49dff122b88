"""Settings of the machines of a consortium: the server's, and each participant's own.

A participant's settings never leave its machine, and they beat those that a run brings.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from fedtrade.nodes.privacy_settings import PrivacyLimits
from fedtrade.settings import BY_PARTICIPANT, SUMMED, Component
from fedtrade.settings_record import SettingsRecord

__all__ = ["ClientSettings", "GatewayLimits", "Limits", "Role", "ServerSettings"]

Port = Annotated[int, Field(ge=0, le=65535)]
Role: TypeAlias = Literal["participant", "key_holder"]
LogFormat: TypeAlias = Literal["text", "json"]
MOST_PORT: Final = 65535
FROM_RUN: Final = "fedtrade.market.sources.from_run"


class Limits(SettingsRecord):
    """What a participant lets a run ask of it.

    Attributes
    ----------
    tasks : tuple of str
        Names of the tasks that it takes part in.
    modes : tuple of str
        Trust modes that it takes part in; without `plain`, the server never sees its updates.
    min_contributors : int
        The fewest whose sum may be opened, in a private mode.
    scores : {"summed", "by_participant"}
        The most that may be told of its scores: only a sum with others', or its own.
    show_path : bool
        Whether one asset's returns and forecasts may leave it, for a picture.
    most_rounds : int or None
        Of training in an episode.
    most_history_bars : int or None
        Bars of its own prices that a run may train on.
    most_answers : int or None
        Messages of one run that it answers.
    most_seconds : float or None
        Work on one message; what takes longer is broken off.
    targets : tuple of str
        Prefixes of import paths that a run may name in its settings.
    """

    tasks: tuple[str, ...] = ("risk", "volatility", "signal")
    modes: tuple[Literal["plain", "masked", "encrypted"], ...] = ("masked", "encrypted")
    min_contributors: Annotated[int, Field(ge=2)] = 3
    scores: Literal["summed", "by_participant"] = SUMMED
    show_path: bool = False
    most_rounds: Annotated[int, Field(ge=0)] | None = None
    most_history_bars: Annotated[int, Field(ge=1)] | None = None
    most_answers: Annotated[int, Field(ge=1)] | None = None
    most_seconds: Annotated[float, Field(gt=0.0)] | None = 600.0
    targets: tuple[str, ...] = ("fedtrade.tasks.", "fedtrade.models.", "fedtrade.market.")

    @property
    def shows_scores(self) -> bool:
        """Whether its scores may leave it as they are."""
        return self.scores == BY_PARTICIPANT


class ClientSettings(SettingsRecord):
    """One party's machine: `fedtrade client`.

    Attributes
    ----------
    name : str
        As it is registered with the server.
    role : {"participant", "key_holder"}
    number : int
        Of the party in the consortium, from 0; a key holder's follows the participants'.
    superlink : str
        HOST:PORT of the server.
    root_certificates, key : str
        Files: the consortium's certificate authority, and the node's private key (OpenSSH).
    identity_key : str or None
        File of the private key that signs in private sums.
    identities, identities_encrypted : str or None
        Files of public identity keys by number: those of the participants, and with the key
        holder's behind them those of `aggregation=encrypted`.
    state : str
        Folder of what the node remembers: it survives a restart.
    data : Component or None
        Its own prices; None takes those that the run names, for runs on one machine.
    keep_prices : bool
        Whether they are kept in `state` as they were read, so that not every process reads them.
    allow : Limits
    privacy : PrivacyLimits
    executor : {"warm", "stock"}
        Whether answers come from a process that has its libraries loaded, or Flower starts a new
        one for each.
    code : {"installed", "bundle"}
        Whether its own installation answers, or the code that comes with a run.
    poll_s : float
        Pause after having asked the server in vain while messages come; the longer none has come,
        the longer, up to 3 s (`warm` only; Flower's own is 3 s always).
    rejoin_s : float
        How long to try again where the server still believes in an earlier process of the node.
    port : int
        Of the node's own interface on loopback; 0 takes a free one.
    log : {"text", "json"}
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    role: Role = "participant"
    number: Annotated[int, Field(ge=0)]
    superlink: str
    root_certificates: str
    key: str
    identity_key: str | None = None
    identities: str | None = None
    identities_encrypted: str | None = None
    state: str
    data: Component | None = None
    keep_prices: bool = True
    allow: Limits = Limits()
    privacy: PrivacyLimits = PrivacyLimits()
    executor: Literal["warm", "stock"] = "warm"
    code: Literal["installed", "bundle"] = "installed"
    poll_s: Annotated[float, Field(ge=0.05, le=60.0)] = 0.2
    rejoin_s: Annotated[float, Field(ge=0.0)] = 120.0
    port: Port = 0
    log: LogFormat = "text"

    @field_validator("superlink")
    @classmethod
    def _check_place(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or "/" in host or not (port.isdecimal() and 1 <= int(port) <= MOST_PORT):
            raise ValueError(f"{value!r} is not HOST:PORT, such as fed.example.com:8443")
        return value

    @field_validator("data", mode="before")
    @classmethod
    def _from_run_is_none(cls, value: Any) -> Any:
        is_named = isinstance(value, Mapping) and value.get("_target_") == FROM_RUN
        return None if is_named else value


class GatewayLimits(SettingsRecord):
    """What one caller may ask of the gateway.

    Attributes
    ----------
    most_call_mib : float
        Of a call that a registered key has signed. Flower cuts arrays into pieces of 5 MiB; only
        what is no array goes in one call, as the ciphertexts of `aggregation=encrypted`.
    most_unsigned_kib : float
        Of any other call.
    most_connections : int
        At one time from one address (of IPv6 from one /64).
    headers_s : float
        From the beginning of a connection, or from the last answer, to the end of a call's headers.
    body_s, least_kib_per_s : float
        How long a body may take, and what more it must bring for each further second.
    unread_s : float
        How long an answer may wait for a caller that does not read.
    """

    most_call_mib: Annotated[float, Field(gt=0.0)] = 64.0
    most_unsigned_kib: Annotated[float, Field(ge=1.0)] = 64.0
    most_connections: Annotated[int, Field(ge=1)] = 256
    headers_s: Annotated[float, Field(gt=0.0)] = 10.0
    body_s: Annotated[float, Field(gt=0.0)] = 20.0
    least_kib_per_s: Annotated[float, Field(gt=0.0)] = 16.0
    unread_s: Annotated[float, Field(gt=0.0)] = 60.0


class ServerSettings(SettingsRecord):
    """The operator's machine: `fedtrade server`.

    Attributes
    ----------
    folder : str
        Of the server, as `fedtrade provision` makes it: certificate, key, registry, database.
    host, port : str, int
        Where participants reach it; 0 takes a free port.
    gateway : bool
        Whether only the participants' part of Flower's interface is served there, and the rest
        (submitting runs, registering nodes) on loopback alone.
    gateway_limits : GatewayLimits
    superlink_port : int
        Of the SuperLink on loopback, behind the gateway; 0 takes a free one.
    monitor_host, monitor_port : str, int or None
        Where `/health` and `/metrics` are served; None serves none.
    monitor_stale_s : float
        After how long without a word of the run `/health` calls it stuck.
    log : {"text", "json"}
    """

    folder: str
    host: str = "0.0.0.0"
    port: Port = 8443
    gateway: bool = True
    gateway_limits: GatewayLimits = GatewayLimits()
    superlink_port: Port = 0
    monitor_host: str = "127.0.0.1"
    monitor_port: Port | None = 9464
    monitor_stale_s: Annotated[float, Field(gt=0.0)] = 900.0
    log: LogFormat = "text"

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        ports = {"port": self.port, "monitor_port": self.monitor_port}
        if self.gateway:
            ports["superlink_port"] = self.superlink_port
        taken: dict[int, str] = {}
        for key, port in ports.items():
            if port and port in taken:
                raise ValueError(f"{taken[port]} and {key} are both {port}; each needs its own")
            taken[port or 0] = key
        return self
