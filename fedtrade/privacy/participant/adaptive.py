"""A clip that follows a quantile of the updates' norms: Andrew et al. (2021), algorithm 1.

https://arxiv.org/abs/1905.03871. The count behind it has noise, so that the clip may be known.
"""

import math

from fedtrade.privacy.settings import AdaptiveClip

__all__ = ["next_clip"]

SMALLEST_CLIP, LARGEST_CLIP = 1e-12, 1e12


def next_clip(clip: float, share_within: float, settings: AdaptiveClip) -> float:
    """The clip of the next round.

    Parameters
    ----------
    share_within : float
        Of the updates whose norm was within the clip, with noise: it may be outside of [0, 1].
    """
    excess = min(max(share_within, 0.0), 1.0) - settings.target_quantile
    wanted = clip * math.exp(-settings.learning_rate * excess)
    return min(max(wanted, SMALLEST_CLIP), LARGEST_CLIP)
