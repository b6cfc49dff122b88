"""Who learns what in a run whose sums have noise."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fedtrade.privacy.participant.claim import Claim
from fedtrade.privacy.participant.vectors import NoisyVectors
from fedtrade.secure.statement import (
    CHOSEN,
    DIFFERENCING,
    LOSSES,
    NO_NOISE,
    PARTICIPANTS,
    REFUSALS,
    SUM_OF_UPDATES,
    TOTAL_OF_SUM,
    Learned,
    Parameter,
    PrivacyStatement,
)

__all__ = ["with_noise"]

EACH_UPDATE = "each participant's update in each round"
SUMS_DIFFER = (
    "Federated sums have no noise, and what a participant adds to them hardly changes from one "
    "episode, or one run, to the next: where it is missing in one of two, the difference shows it."
)


def with_noise(statement: PrivacyStatement, noise: NoisyVectors) -> PrivacyStatement:
    """The statement of a trust mode together with what noise on the sums promises."""
    claim = Claim.of(noise)
    kept = tuple(each for each in statement.assumptions if each != NO_NOISE)
    bounded = (CHOSEN, DIFFERENCING) if noise.covers_sums else (DIFFERENCING,)
    broken_by = tuple(each for each in statement.broken_by if each not in bounded)
    if not noise.covers_sums and len(broken_by) < len(statement.broken_by):
        broken_by = (*broken_by, SUMS_DIFFER)
    return replace(
        statement,
        learns=tuple(_learned(statement.learns, noise)),
        broken_by=(*broken_by, *_left_out(claim), *_who_breaks(noise)),
        assumptions=(_promise(claim, noise), *_trust(noise), *kept),
        parameters=(*statement.parameters, *_parameters(claim, noise)),
    )


def _learned(learns: Iterable[Learned], noise: NoisyVectors) -> Iterator[Learned]:
    """What is sent: clipped updates that count alike, and no losses, examples or weights.

    Who adds the noise sees what is below it.
    """
    count = ", and how many were within the clip" if noise.plan.count_noise else ""
    for party, what in learns:
        is_below = party == noise.adders.who
        if what.startswith(LOSSES):
            continue
        if what.startswith(REFUSALS):
            yield Learned(party, f"{REFUSALS} sum and evaluation")
        elif what.startswith(EACH_UPDATE):
            yield Learned(party, "each participant's clipped update in each round")
        elif what.startswith(SUM_OF_UPDATES):
            end = "which it opens and adds the noise to" if is_below else "with noise"
            yield Learned(party, f"the sum of the clipped updates of each round{count}, {end}")
        elif what.startswith(TOTAL_OF_SUM) and noise.covers_sums and not is_below:
            yield Learned(party, f"{what}, with noise")
        else:
            yield Learned(party, what)


def _promise(claim: Claim, noise: NoisyVectors) -> str:
    whole = "the run" if claim.n_models == 1 else f"the run with its {claim.n_models} models"
    one = "" if claim.n_models == 1 else f" (one model alone: epsilon {claim.model_epsilon:.3g})"
    clip = "a clip that follows them" if noise.plan.level.adaptive else "the clip"
    return (
        f"Noise on the sums makes {whole} differentially private at participant level: epsilon "
        f"{claim.epsilon:.3g}, delta {claim.delta:.2g}{one}, of {' and '.join(claim.covers)}, "
        "against one where a participant's are zero. Updates are scaled down to "
        f"{clip} first. All rounds count in full: nobody is left out of one at random."
    )


def _trust(noise: NoisyVectors) -> Iterator[str]:
    who = noise.adders
    if who.who == "server":
        yield (
            "The server sees each update and adds the noise: the promise is one about participants "
            "and whoever gets the model or the report, and none about the server."
        )
    elif who.by_members:
        yield (
            f"Each participant adds its part of the noise before it masks. {who.n_honest} "
            f"participants that do so and keep it a secret are enough; sums of fewer than "
            f"{who.n_contributors} are not opened, and no more than "
            f"{who.n_contributors - who.n_honest} of those in one may work with the server or "
            "leave out theirs."
        )
    else:
        yield (
            "The key holder adds the noise to each sum before it answers; the promise is about "
            "everybody but the key holder, who sees the exact sums of all."
        )


def _left_out(claim: Claim) -> Iterator[str]:
    yield (
        f"Outside of the promise of noise are {'; '.join(claim.excludes)}: what is said of them "
        "above holds as it does without."
    )


def _who_breaks(noise: NoisyVectors) -> Iterator[str]:
    if noise.adders.by_members:
        yield (
            f"If fewer than {noise.adders.n_honest} in a sum add their noise and keep it a secret, "
            "there is less of it than promised; nobody can see that in the sum."
        )


def _parameters(claim: Claim, noise: NoisyVectors) -> Iterator[Parameter]:
    plan = noise.plan
    yield Parameter("epsilon", claim.epsilon, f"of one of the {PARTICIPANTS}, in the whole run")
    yield Parameter("model_epsilon", claim.model_epsilon, "the same for one of its models alone")
    yield Parameter("delta", claim.delta, "that the bound fails, for the same")
    yield Parameter("models", claim.n_models, "that the run trains, one at each origin and fold")
    if plan.n_rounds:
        yield Parameter("clip", plan.level.clip, "largest norm of an update, at first")
        yield Parameter("update_noise", plan.update_noise, "deviation on their sum, in clips")
        yield Parameter("rounds", plan.most_rounds, "of training a participant takes part in")
    if plan.n_sums:
        yield Parameter("sum_clip", plan.level.sum_clip, "largest norm of a part of a sum")
        yield Parameter("sum_noise", plan.sum_noise, "deviation on federated sums, in those")
        yield Parameter("sums", plan.most_sums, "with noise, that a participant takes part in")
    yield Parameter("covers", " and ".join(claim.covers), "that the promise is about")
    yield Parameter("noise_by", noise.adders.who, "who adds the noise")
    yield Parameter("honest", noise.adders.n_honest, "whose noise alone is enough")
