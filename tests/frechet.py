"""FID of features, as the library takes it of pictures: the mean of what each adds, and its bootstrap."""

from advunlearn_lib.metrics.estimate import bootstrap_mean
from advunlearn_lib.metrics.fid import contributions


def frechet_distance(real, generated, seed=0):
    return bootstrap_mean(contributions(real, generated), seed)
