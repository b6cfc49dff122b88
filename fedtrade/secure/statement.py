"""What each trust mode promises: who learns what, and who must work together to learn more.

The facts are those of `fedtrade.secure.masked` and `fedtrade.secure.encrypted`, with the numbers of
one run. What is not promised stands beside what is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from fedtrade.secure.encrypted.channels import SUMS, TRAINING, channels
from fedtrade.secure.groups import GroupParameters
from fedtrade.secure.parameters import GraphParameters
from fedtrade.secure.proportion import at_most
from fedtrade.secure.settings import (
    EncryptedAggregation,
    MaskedAggregation,
    PlainAggregation,
)

__all__ = [
    "CHOSEN",
    "DIFFERENCING",
    "KEY_HOLDER",
    "LOSSES",
    "NO_NOISE",
    "PARTICIPANTS",
    "REFUSALS",
    "SERVER",
    "SUM_OF_UPDATES",
    "TOTAL_OF_SUM",
    "Learned",
    "Parameter",
    "PrivacyStatement",
    "encrypted_statement",
    "masked_statement",
    "plain_statement",
    "with_scores",
]

SERVER: Final = "server"
PARTICIPANTS: Final = "participants"
KEY_HOLDER: Final = "key holder"

CALENDAR: Final = "the bars that each participant holds, and how many assets"
GLOBAL: Final = "the global model of each round and the totals of the federated sums"
SUM_OF_UPDATES: Final = "the sum of the updates of"
LOSSES: Final = "losses of training,"
TOTAL_OF_SUM: Final = "the total of each federated sum"
REFUSALS: Final = (
    "who keeps out of a sum for want of history, and who cannot compute or add its part: yes or "
    "no, once for each"
)
IN_THE_CLEAR: Final = (
    "Messages are readable on the way unless the connections are encrypted, as with TLS."
)
NO_NOISE: Final = (
    "No noise is added: what a sum itself, or the model trained from it, tells of one participant "
    "stays in it."
)
UNCHECKED: Final = (
    "Participants send what they computed: nobody can look into a {vector}, so a liar can move "
    "{sum} unseen by as much as all of them could honestly{remedy}."
)
DIFFERENCING: Final = (
    "Two sums of the same data that differ by one participant show its part to whoever sees both. "
    "Nobody adds to a round or sum twice in a run, but a server that lies can send the same model "
    "as if it were the next round's, and leave somebody out: only noise (privacy.participant), of "
    "which there is none here, prevents that. Besides, parts of federated sums hardly change from "
    "one episode, or one run, to the next: what a participant adds that is missing in one of them "
    "can be read off the others."
)
FEW_HOLDERS: Final = (
    "Whoever has nothing to add at a bar sends zeros there: what only a few participants hold is "
    "the sum of those few. An honest server counts a bar only if aggregation.min_contributors hold "
    "it."
)
CHOSEN: Final = (
    "Participants give nothing unless all are asked the same, and those with too few bars keep "
    "out. But what is asked of all alike is the server's choice: one that lies can choose a time, "
    "a model or totals of earlier sums to which most of them add next to nothing, and the sum is "
    "nearly the part of the others. Only noise on a sum (privacy.participant) bounds that."
)


class Learned(NamedTuple):
    """What one party gets to know."""

    party: str
    what: str


class Parameter(NamedTuple):
    """A number (or name) on which a promise rests, and what it means."""

    name: str
    value: int | float | str
    meaning: str


@dataclass(frozen=True)
class PrivacyStatement:
    """Who learns what in a run, and what would break it.

    Attributes
    ----------
    mode : str
        As in `conf/aggregation`.
    learns : tuple of Learned
        Also what parties learn that keep to the protocol.
    broken_by : tuple of str
        Who could learn more, in whole sentences.
    assumptions : tuple of str
        On what the rest stands, in whole sentences.
    parameters : tuple of Parameter
        With the values of this run.
    seen : str
        Of which sums the server sees the totals: `each participant` or `all participants`.
    """

    mode: str
    learns: tuple[Learned, ...]
    broken_by: tuple[str, ...]
    assumptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    seen: str


def plain_statement(settings: PlainAggregation) -> PrivacyStatement:
    """Of the mode in which the server sees everything but prices."""
    size = settings.group_size
    groups = (
        ()
        if size is None
        else (
            Parameter(
                "group_size",
                size,
                "members of the groups whose means the rule sees; they hide nothing",
            ),
        )
    )
    return PrivacyStatement(
        mode=settings.mode,
        learns=(
            Learned(SERVER, "each participant's update in each round, and its examples"),
            Learned(SERVER, f"{LOSSES} of each participant in each round"),
            Learned(SERVER, "each participant's part of each federated sum"),
            Learned(SERVER, CALENDAR),
            Learned(PARTICIPANTS, GLOBAL),
        ),
        broken_by=(
            "Nobody needs to break it: whoever runs the server can try to infer a participant's "
            "prices from its updates and its parts of sums.",
        ),
        assumptions=(
            "The server is trusted with all that it sees; prices themselves stay where they are.",
            IN_THE_CLEAR,
        ),
        parameters=groups,
        seen="each participant",
    )


def masked_statement(
    settings: MaskedAggregation, n_participants: int, parameters: GraphParameters
) -> PrivacyStatement:
    """Of sums under pairwise masks.

    Parameters
    ----------
    n_participants : int
        Who joined. A sum of fewer has its own, smaller graph.
    parameters : GraphParameters
        Those of one sum of all, or `GroupParameters` of the smallest group.
    """
    size = settings.group_size
    where = "all participants" if size is None else f"each random group of {size} or a few more"
    return PrivacyStatement(
        mode=settings.mode,
        learns=(
            *_sums_learned(SERVER, where),
            Learned(SERVER, "who took part in each sum, and who fell silent at which stage"),
            Learned(SERVER, f"{REFUSALS} round, sum and evaluation"),
            Learned(SERVER, CALENDAR),
            Learned(PARTICIPANTS, GLOBAL),
            Learned(PARTICIPANTS, "who takes part in each sum, with their public keys"),
        ),
        broken_by=(
            *_masked_collusions(settings, parameters),
            *_subtracting(
                "sum" if size is None else "group",
                max(settings.min_contributors, parameters.threshold + 1),
            ),
            *((CHOSEN,) if settings.adversary == "malicious" else ()),
            *_first_contact(settings.identities, "replace keys and invent participants"),
            *(() if size is None else _regrouping(n_participants, size)),
        ),
        assumptions=(
            *_masked_assumptions(settings, n_participants, parameters),
            UNCHECKED.format(
                vector="masked vector",
                sum="the sum" if size is None else "its group's sum",
                remedy="" if size is None else "; a robust rule over the groups bounds the harm",
            ),
            NO_NOISE,
            "X25519 (computational Diffie-Hellman), AES-256 as a pseudorandom function, SHA-256 as "
            "a collision-resistant hash and Ed25519 signatures are not broken.",
        ),
        parameters=_masked_parameters(settings, n_participants, parameters),
        seen="all participants",
    )


def encrypted_statement(settings: EncryptedAggregation, n_participants: int) -> PrivacyStatement:
    """Of sums under encryption that a key holder opens.

    Raises
    ------
    ConfigurationError
        If no scheme holds the sums of so many participants.
    """
    schemes = channels(settings, n_participants)
    used = {scheme.name: scheme.security for scheme in (schemes[TRAINING], schemes[SUMS])}
    is_lattice = settings.scheme != "paillier"
    hard = (
        "Ring learning with errors is hard at the parameters of the homomorphic encryption standard"
        if is_lattice
        else "Telling n-th residues modulo n^2 from others is hard (composite residuosity)"
    )
    parameters = [
        Parameter("participants", n_participants, "who joined"),
        Parameter("min_contributors", settings.min_contributors, "no sum of fewer is opened"),
        *(
            Parameter(f"security_{name}", f"{security.bits} bits", security.statement)
            for name, security in used.items()
        ),
    ]
    if settings.scheme == "ckks":
        parameters.append(
            Parameter(
                "flooding_bits",
                settings.flooding_bits,
                "opened sums tell of the key with an advantage of at most 2^-this",
            )
        )
    return PrivacyStatement(
        mode=settings.mode,
        learns=(
            *_sums_learned(SERVER, "all participants", "from the key holder"),
            Learned(SERVER, "who contributed to each sum, and ciphertexts"),
            Learned(SERVER, f"{REFUSALS} round, sum and evaluation"),
            Learned(SERVER, CALENDAR),
            *_sums_learned(KEY_HOLDER, "all participants", "which it opens"),
            Learned(KEY_HOLDER, "who contributed to each sum"),
            Learned(PARTICIPANTS, GLOBAL),
            Learned(PARTICIPANTS, "everybody's public keys"),
        ),
        broken_by=(
            "The server and the key holder together read each contribution. So does a key holder "
            "that can read the participants' messages to the server on the way.",
            *_subtracting("sum", settings.min_contributors),
            CHOSEN,
            *_first_contact(
                settings.identities, "pose as the key holder and read each contribution"
            ),
        ),
        assumptions=(
            "The server may do anything but work together with the key holder, who follows the "
            "protocol and is no participant. Whatever ciphertexts the server makes up, the key "
            "holder takes off them the pads of the contributions that are named to it, of "
            f"{settings.min_contributors} participants at least: what is left tells of the sum of "
            "these, or is noise.",
            UNCHECKED.format(vector="ciphertext", sum="the sum", remedy=""),
            NO_NOISE,
            f"{hard}; X25519 (computational Diffie-Hellman), AES-256 as a pseudorandom function, "
            "SHA-256 as a collision-resistant hash and Ed25519 signatures are not broken.",
        ),
        parameters=tuple(parameters),
        seen="all participants",
    )


def with_scores(statement: PrivacyStatement, *, summed: bool, shows_path: bool) -> PrivacyStatement:
    """The statement together with what the evaluation tells.

    Parameters
    ----------
    summed : bool
        Whether scores are added up as federated sums are, or else sent as they are.
    shows_path : bool
        Whether each participant sends the returns and forecasts of one of its assets.
    """
    if not summed:
        scores = "each participant's scores of each model, and their values by day"
        found = [Learned(SERVER, scores)]
        if shows_path:
            found.append(
                Learned(SERVER, "the returns and forecasts of one asset of each participant scored")
            )
        daily = (
            "Scores by day leave each participant in the clear: a daily loss, or a trading result, "
            "goes a long way towards the return of that day.",
        )
        return replace(
            statement,
            learns=(*statement.learns, *found),
            broken_by=(*statement.broken_by, *daily),
        )
    whose = {
        "each participant": "each participant's part of the sums of scores, which it adds itself",
        "all participants": "sums of all participants' scores of each model, also by day, and how "
        "many are better off",
    }
    return replace(statement, learns=(*statement.learns, Learned(SERVER, whose[statement.seen])))


def _sums_learned(party: str, where: str, how: str = "") -> Iterable[Learned]:
    """What a party learns that sees sums."""
    added = f", {how}" if how else ""
    yield Learned(
        party,
        f"{SUM_OF_UPDATES} {where} in each round and of their weights, and how many of them had "
        f"to clip{added}",
    )
    yield Learned(party, f"{LOSSES} the sum of {where} in each round{added}")
    yield Learned(party, f"{TOTAL_OF_SUM} of all participants{added}")


def _masked_collusions(settings: MaskedAggregation, parameters: GraphParameters) -> Iterable[str]:
    k, t = parameters.degree, parameters.threshold
    if settings.adversary == "malicious":
        # Honest neighbours give one of two shares; t of both need 2t <= (k - x) + 2x.
        fewer = max(0, 2 * t - k)
        signers = max(0, 2 * parameters.quorum - parameters.committee)
        needed = (
            f"The server together with {fewer} of the {k} neighbours of a participant opens its "
            f"vector of that sum, if {signers} of the {parameters.committee} members that sign who "
            f"is left work with it too and sign two different sets; else it needs {t} of them."
        )
    else:
        needed = (
            f"The server together with {t} of the {k} neighbours of a participant opens its vector "
            "of that sum."
        )
    yield f"{needed} Each sum has new keys and neighbours."
    if isinstance(parameters, GroupParameters):
        yield (
            f"A group bears {parameters.most_colluders} colluders beside a participant. If "
            f"{settings.colluding_share:.0%} of all collude, it is drawn into one with more with a "
            f"probability of {parameters.exposure:.2g} in each sum, and that adds up over sums."
        )


def _subtracting(scope: str, fewest: int) -> Iterable[str]:
    """What is left to whoever knows all other parts of a sum, or of another one."""
    yield (
        f"All others in a {scope} together with the server see the last one's part: the sum minus "
        f"their own. At worst these are {fewest - 1}, as sums of {fewest} may be opened. Fewer "
        "learn the sum of the others' parts, no more."
    )
    yield DIFFERENCING
    yield FEW_HOLDERS


def _first_contact(identities: str | None, harm: str) -> Iterable[str]:
    if identities is None:
        yield (
            "Public keys are taken at first contact (aggregation.identities=null): a server that "
            f"lies from the first message on can {harm}."
        )


def _regrouping(n_participants: int, size: int) -> Iterable[str]:
    """See docs/secure: sums of G groups have R (G - 1) + 1 independent equations after R rounds."""
    n_groups = n_participants // size
    if n_groups < 2:
        return
    enough = -(-(n_participants - 1) // (n_groups - 1))
    yield (
        "Groups are drawn anew for each round. Updates that never changed could be solved for "
        f"after {enough} rounds or a few more; what a participant adds to each update shows after "
        f"some {2 * size} rounds as sharply as one look at its own would show it. Federated sums "
        "and scores have no groups."
    )


def _masked_assumptions(
    settings: MaskedAggregation, n_participants: int, parameters: GraphParameters
) -> Iterable[str]:
    n_colluders = at_most(settings.colluding_share, n_participants)
    if settings.adversary == "malicious":
        yield (
            "The server may do anything, but cannot make more than the expected colluders work "
            "with it; participants check keys, neighbours and the signed set of those who are left."
        )
    else:
        yield (
            "The server follows the protocol and is curious (aggregation.adversary=semi_honest): "
            "one that shows different participants different survivors can open vectors."
        )
    if isinstance(parameters, GroupParameters):
        return
    bound = (
        f"At most {n_colluders} of {n_participants} participants collude with the server "
        f"(colluding_share={settings.colluding_share:g})"
    )
    if parameters.is_complete:
        yield f"{bound}; everybody is everybody's neighbour, so nothing is left to chance."
        return
    draws = (
        f", even if the server can try 2^{settings.grinding_bits} draws"
        if settings.adversary == "malicious"
        else ""
    )
    yield (
        f"{bound}; then nobody has more than {parameters.most_colluders} of them among its "
        f"neighbours, but for a probability of 2^-{settings.security_bits} in each sum{draws}."
    )


def _masked_parameters(
    settings: MaskedAggregation, n_participants: int, parameters: GraphParameters
) -> tuple[Parameter, ...]:
    found = [
        Parameter("participants", n_participants, "who joined"),
        Parameter("adversary", settings.adversary, "what the server is reckoned to be"),
    ]
    if isinstance(parameters, GroupParameters):
        size = parameters.n_members
        found += [
            Parameter("group_size", size, "members of a group, or a few more"),
            Parameter("groups", n_participants // size, "sums that are opened in place of one"),
            Parameter(
                "exposure",
                parameters.exposure,
                "probability that a group has more colluders than it bears, for one participant "
                "and sum",
            ),
        ]
    elif not parameters.is_complete:
        found.append(
            Parameter(
                "security_bits",
                settings.security_bits,
                "an unlucky graph exposes somebody with probability 2^-this",
            )
        )
    found += [
        Parameter("neighbours", parameters.degree, "of each participant (k)"),
        Parameter("threshold", parameters.threshold, "shares that open a secret (t)"),
        Parameter(
            "colluders", parameters.most_colluders, "among a participant's neighbours, borne (c)"
        ),
        Parameter(
            "dropouts",
            parameters.most_dropouts,
            "neighbours of a participant that may fall silent in a sum (k - t)",
        ),
        Parameter("min_contributors", settings.min_contributors, "no sum of fewer is opened"),
    ]
    if settings.adversary == "malicious":
        found += [
            Parameter("committee", parameters.committee, "who sign the set of those left (K)"),
            Parameter("quorum", parameters.quorum, "signatures that a set needs (q)"),
        ]
    return tuple(found)
