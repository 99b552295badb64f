#!/usr/bin/env python3
"""Prints the rows of kGolden in planar_test.cc: log p_sigma and its derivatives with 60 digits."""
from mpmath import besseli, diff, erfc, exp, log, mp, mpf, pi, sqrt

mp.dps = 60


def box(t, centre, sigma):
    scale = sigma * sqrt(mpf(2))
    near, far = (abs(t - centre) - 1) / scale, (abs(t - centre) + 1) / scale
    return (erfc(near) - erfc(far)) / 4


def checkerboard(x, y, sigma):
    return log(sum(box(x, 2 * i - 3, sigma) * box(y, 2 * j - 3, sigma)
                   for i in range(4) for j in range(4) if (i + j) % 2 == 0) / 8)


def rings(x, y, sigma):
    variance, d = mpf("0.08")**2 + sigma**2, sqrt(x * x + y * y)
    radii = [mpf(3) / 4 * k for k in range(1, 5)]
    return log(sum(besseli(0, d * r / variance) * exp(-(d * d + r * r) / (2 * variance))
                   for r in radii) / (8 * pi * variance))


def latent(log_joint, x, y, sigma):
    """The trapezoid rule over u, eight steps a sigma, around the integrand's largest value."""
    def f(u):
        return log_joint(u, y, sigma) - (x - u)**2 / (2 * sigma**2)
    mode = max((x + sigma * i / 2 for i in range(-200, 201)), key=f)
    step = sigma / 8
    total = sum(exp(f(mode + i * step)) for i in range(-160, 161)) * step
    return log(total / (sigma * sqrt(2 * pi)))


def funnel(x, y, sigma):
    def joint(u, y, sigma):
        v = exp(u) + sigma**2
        return -u * u / 18 - log(6 * pi) - log(v) / 2 - y * y / (2 * v)
    return latent(joint, x, y, sigma)


def banana(x, y, sigma):
    def joint(u, y, sigma):
        w = 1 + sigma**2
        return -u * u / 8 - log(4 * pi) - log(w) / 2 - (y - (u * u - 4) / 2)**2 / (2 * w)
    return latent(joint, x, y, sigma)


CASES = [(rings, "8", "1", "0"), (rings, "-0.3", "0.2", "0.01"),
         (checkerboard, "7", "0.3", "0.1"), (checkerboard, "-4.3", "1.7", "0.01"),
         (checkerboard, "-1.5", "-34", "1"), (checkerboard, "0.3", "-0.4", "0.05"),
         (checkerboard, "9", "-0.7", "0.01"), (funnel, "-7", "5", "0.01"),
         (funnel, "-4", "0.1", "0.1"), (funnel, "2", "-30", "0.5"),
         (banana, "0.5", "-6", "0.05"), (banana, "0.1", "9", "0.3")]
ORDERS = [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]

for density, *place in CASES:
    x, y, sigma = (mpf(t) for t in place)
    values = [density(x, y, sigma)]
    values += [diff(lambda a, b: density(a, b, sigma), (x, y), n, h=mpf(10)**-11) for n in ORDERS]
    print('{"%s", %s, {%s}},' % (density.__name__, ", ".join(place),
                                 ", ".join(mp.nstr(v, 16) for v in values)), flush=True)
