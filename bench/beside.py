#!/usr/bin/env python3
"""How many times its time alone each benchmark takes beside a program that counts without end.

    bench/beside.py [--build build] [--rounds 3]

Prints a line for every part of every program of bench/ (but eigenpairs_bench, which needs a run):
the ratio of medians, and both. Alone and beside alternate.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import time
from pathlib import Path


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ozaki(bench):
    lines = output(bench / "ozaki_step_bench", "2").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if re.match(r"\| \d", line)]
    names = {"U-Net s1+s2": 1, "Ozaki step": 2, "dense": 4}
    return {f"ozaki_step_bench {n}": statistics.median(float(r[i]) for r in rows) for n, i in names.items()}


def steps(bench):
    found = {}
    for network in ("unet", "mlp"):
        for kind in ("step", "evaluate"):
            line = output(bench / "step_bench", network, "1", "2", kind).strip().splitlines()[-1]
            found[f"step_bench {network} {kind}"] = 1e3 * json.loads(line)["seconds"]
    return found


def google(bench, program):
    arguments = ("--benchmark_min_time=0.05", "--benchmark_format=json")
    rows = json.loads(output(bench / program, *arguments))["benchmarks"]
    return {f"{program} {row['name'].removesuffix('/process_time/real_time')}": row["real_time"] for row in rows}


def measure(bench):
    return {**ozaki(bench), **steps(bench), **google(bench, "optimiser_bench"), **google(bench, "hessian_loss_bench")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bench, alone, beside = options.build.resolve() / "bench", [], []
    for _ in range(options.rounds):
        alone.append(measure(bench))
        busy = subprocess.Popen(["bash", "-c", "while :; do :; done"], start_new_session=True)
        try:
            time.sleep(0.2)
            beside.append(measure(bench))
        finally:
            os.killpg(busy.pid, signal.SIGKILL)
    ratios = []
    for name in alone[0]:
        one, two = (statistics.median(run[name] for run in runs) for runs in (alone, beside))
        ratios.append(two / one)
        print(f"{two / one:.2f}  {name:<70} {one:.4g} ms alone, {two:.4g} ms beside")
    print(f"median {statistics.median(ratios):.2f}; above 2.5: {sum(r > 2.5 for r in ratios)} of {len(ratios)}")


if __name__ == "__main__":
    main()
