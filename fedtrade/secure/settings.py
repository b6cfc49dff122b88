"""Settings of the trust modes: who sees what of the participants' vectors when they are added."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from fedtrade.settings_record import SettingsRecord

__all__ = [
    "Aggregation",
    "EncryptedAggregation",
    "MaskedAggregation",
    "PlainAggregation",
    "PrivateAggregation",
]

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
GroupSize = Annotated[int, Field(ge=2)]


class PlainAggregation(SettingsRecord):
    """The server sees each participant's vector.

    Attributes
    ----------
    group_size : int or None
        Members of the random groups whose means a rule sees, as it would with `masked`: to study
        what secrecy costs in robustness. It hides nothing.
    """

    mode: Literal["plain"] = "plain"
    group_size: GroupSize | None = None

    @property
    def n_key_holders(self) -> int:
        """Nodes that hold keys and take no part."""
        return 0


class PrivateAggregation(SettingsRecord):
    """What all modes share in which only sums are seen.

    Attributes
    ----------
    min_contributors : int
        No sum of fewer is ever opened.
    clip : float
        Largest change of a parameter; members clip theirs to it.
    max_examples : int
        The most examples a member counts with, if members count by examples.
    max_loss : float
        Losses are clipped to it.
    sum_bound : float
        Largest entry of a member's part in a federated sum; beyond it a member refuses.
    clip_resolution, sum_resolution : float
        Coarsest steps of the fixed-point numbers of updates and of federated sums.
    """

    min_contributors: Annotated[int, Field(ge=2)] = 3
    clip: Annotated[float, Field(gt=0.0)] = 4.0
    max_examples: Annotated[int, Field(ge=1)] = 5000
    max_loss: Annotated[float, Field(gt=0.0)] = 100.0
    sum_bound: Annotated[float, Field(gt=0.0)] = 1e6
    clip_resolution: Annotated[float, Field(gt=0.0)] = 1e-5
    sum_resolution: Annotated[float, Field(gt=0.0)] = 1e-9

    @property
    def n_key_holders(self) -> int:
        """Nodes that hold keys and take no part."""
        return 0


class MaskedAggregation(PrivateAggregation):
    """Pairwise masks that cancel in the sum: SecAgg+ of Bell et al. (2020).

    Attributes
    ----------
    adversary : {"semi_honest", "malicious"}
        Whether the server follows the protocol. Against a malicious one members check a signed set
        of survivors, which costs one more exchange a sum.
    colluding_share : float
        Of the members that may show the server everything they know.
    dropout_share : float
        Of the members that may fall silent between dealing the shares of their keys and the
        opening of the sum; earlier losses are made up for.
    security_bits : int
        A member's vector is exposed by an unlucky draw of neighbours with probability 2^-this.
    correctness_bits : int
        So improbable is a sum that fails with no more dropouts than expected.
    grinding_bits : int
        A malicious server can try 2^this draws of the neighbours before it settles on one.
    group_size : int or None
        Members of the random groups whose means are opened; None opens one sum of all.
    identities : str or None
        Path of a JSON file with the members' public keys by number. Without one, keys are taken
        at first contact, and a server that lies from the first message on can replace them.
    """

    mode: Literal["masked"] = "masked"
    adversary: Literal["semi_honest", "malicious"] = "malicious"
    colluding_share: Share = 0.2
    dropout_share: Share = 0.1
    security_bits: Annotated[int, Field(ge=1)] = 40
    correctness_bits: Annotated[int, Field(ge=1)] = 20
    grinding_bits: Annotated[int, Field(ge=0)] = 64
    group_size: GroupSize | None = None
    identities: str | None = None

    @model_validator(mode="after")
    def _check_group(self) -> "MaskedAggregation":
        if self.group_size is not None and self.group_size < self.min_contributors:
            raise ValueError(
                f"group_size={self.group_size} must be at least "
                f"min_contributors={self.min_contributors}: each group's sum is opened"
            )
        return self


class EncryptedAggregation(PrivateAggregation):
    """Homomorphic sums, opened by a key holder who is neither the server nor a member.

    Attributes
    ----------
    scheme : {"bfv", "ckks", "paillier"}
        Exact on fixed point, approximate on reals, or exact and slow for short vectors.
    weighted : bool
        Whether the server may multiply each contribution by one plaintext weight.
    flooding_bits : int
        Statistical security of what decrypted sums of `ckks` tell about the key.
    key_bits : int
        Of a `paillier` modulus.
    identities : str or None
        As in `MaskedAggregation`; the last number in the file is the key holder's.
    """

    mode: Literal["encrypted"] = "encrypted"
    scheme: Literal["bfv", "ckks", "paillier"] = "bfv"
    weighted: bool = False
    flooding_bits: Annotated[int, Field(ge=1)] = 30
    key_bits: Annotated[int, Field(ge=1024)] = 3072
    identities: str | None = None

    @property
    def n_key_holders(self) -> int:
        """Nodes that hold keys and take no part."""
        return 1


Aggregation: TypeAlias = Annotated[
    PlainAggregation | MaskedAggregation | EncryptedAggregation, Field(discriminator="mode")
]
