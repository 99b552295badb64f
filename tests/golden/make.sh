#!/usr/bin/env bash
# Made the files beside it with the `scorejet` of revision 189f2b8 (LibTorch 1.13.1): SCOREJET=path make.sh, in an empty folder.
set -euo pipefail
S=${SCOREJET:?path of the command}
/usr/bin/python3 - <<'E'
import numpy as np
r=np.random.default_rng(7)
a=r.normal(size=(5,5)); x=(r.normal(size=(200,5))@a*0.5).astype('f4'); np.save('rows.npy',x); np.save('points.npy',(x[:4]+0.3*r.normal(size=(4,5))).astype('f4'))
yy,xx=np.mgrid[:8,:8]
im=np.stack([np.exp(-((yy-r.uniform(1,6))**2+(xx-r.uniform(1,6))**2)/4) for _ in range(96)]).astype('f4')[:,None]
np.save('discs.npy',im); np.save('disc_points.npy',(im[:3].reshape(3,-1)+0.3*r.normal(size=(3,64))).astype('f4'))
E
C="--set data.validation=60 --set train.steps=24 --set train.batch=16 --set train.validate_every=8 --set train.checkpoint_every=8 --set train.warmup=4 --set loss.variance_reduction=false --set noise.sigma=0.3"
echo "" > empty.toml
t() { name=$1; shift; "$S" train empty.toml $C "$@" --out "$name" >/dev/null 2>&1; rm "$name"/report.html; }
V="--set data.name=rows.npy --set model.width=8 --set model.depth=1"
I="--set data.name=discs.npy --set model.channels=4"
t mlp_low_rank $V --set data.validation=100 --set model.rank=2
t mlp_full $V --set model.s2=full --set model.rank=3 --set model.scale=data --set model.share_trunk=false --set noise.sigma_max=1.0
t mlp_free_diagonal $V --set model.s2=diagonal --set model.parameterisation=free --set loss.form=product --set loss.variance_reduction=true
t mlp_third $V --set model.rank=2 --set model.s3=low_rank --set model.s3_rank=3
t unet_low_rank $I --set model.rank=3
t unet_diagonal $I --set model.s2=diagonal --set model.levels=1 --set model.patch=4 --set model.blocks=2
for run in mlp_low_rank mlp_full mlp_free_diagonal; do "$S" score $run points.npy --sigma 0.3 --out $run/scores.npz; done
"$S" score mlp_third points.npy --sigma 0.3 --order 3 --out mlp_third/scores.npz
for run in unet_low_rank unet_diagonal; do "$S" score $run disc_points.npy --sigma 0.3 --out $run/scores.npz; done
"$S" calibrate mlp_low_rank --sigma 0.3 --limit 0 --pcs 2 --out cal >/dev/null 2>&1
"$S" denoise mlp_low_rank points.npy --noisy --sigma 0.3 --pcs 2 --calibrated --level 0.9 --out calibrated >/dev/null 2>&1 || "$S" denoise mlp_low_rank points.npy --sigma 0.3 --pcs 2 --calibrated --level 0.9 --out calibrated
# Whole chains, and chains that were stopped on their way.
chain() { "$S" sample banana --kernel $1 --steps $2 --warmup 16 --thin $3 --chains 3 --sigma 0.1 --step-size 0.02 --seed 1 --out chains_$1 >/dev/null 2>&1; }
for k in metropolis-ozaki hmc line-ozaki; do chain $k 20 1; done
# A run that was killed after its first segment (10 s in), and what it gives when it is not.
long="sample banana --kernel metropolis-ozaki --steps 16000 --warmup 16 --thin 2000 --chains 3 --sigma 0.1 --step-size 0.02 --seed 1"
"$S" $long --out whole >/dev/null 2>&1
timeout -s KILL 10.8 "$S" $long --out interrupted >/dev/null 2>&1 || true
mv whole/chains.npz interrupted/whole.npz
rm -r whole cal empty.toml calibrated/metrics.json */run.json chains_*/metrics.json
