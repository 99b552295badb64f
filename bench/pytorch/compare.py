#!/usr/bin/python3
"""Alternates scorejet's training step, and its evaluation of both scores, with the two PyTorch ones
and prints the ratios.

    /usr/bin/python3 bench/pytorch/compare.py --build build [--pairs 7] [--seconds 3] [--threads 2]

A pair is one run of each program, one after the other; figures are medians over the pairs.
"""
import argparse
import itertools
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def median(values):
    return sorted(values)[len(values) // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=["mlp", "unet"])
    parser.add_argument("--python", default="/usr/bin/python3")
    options = parser.parse_args()
    seconds, threads = str(options.seconds), str(options.threads)
    for network, task in itertools.product(options.networks, ("step", "evaluate")):
        ways = {"scorejet": [f"{options.build}/bench/step_bench", network, seconds, threads, task]}
        for algebra in ("exact", "dense"):
            ways[f"PyTorch, {algebra}"] = [
                options.python, str(HERE / "step.py"), network, algebra, "--task", task,
                "--seconds", seconds, "--threads", threads]
        results = {name: [] for name in ways}
        for _ in range(options.pairs):
            for name, command in ways.items():
                results[name].append(run(command))
        print(f"\n{network}, {task}, batch {results['scorejet'][0]['batch']}, rank "
              f"{results['scorejet'][0]['rank']}, {options.pairs} pairs, {threads} threads\n")
        print("| program | ms | over scorejet | peak MB | over scorejet |")
        print("|---|---|---|---|---|")
        ours = results["scorejet"]
        for name, runs in results.items():
            ratio = median([r["seconds"] / o["seconds"] for r, o in zip(runs, ours)])
            peak, own = median([r["peak_mb"] for r in runs]), median([r["peak_mb"] for r in ours])
            print(f"| {name} | {1e3 * median([r['seconds'] for r in runs]):.1f} | {ratio:.2f} | "
                  f"{peak:.0f} | {peak / own:.2f} |", flush=True)


if __name__ == "__main__":
    main()
