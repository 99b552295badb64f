// Everything a user of the library includes, in one header. The library itself never includes it.
#pragma once

#include "scorejet/data/dataset.h"
#include "scorejet/distributions/gaussian_mixture.h"
#include "scorejet/io/npy.h"
#include "scorejet/io/npz.h"
#include "scorejet/io/tensor_bridge.h"
#include "scorejet/linalg/lanczos.h"
#include "scorejet/linalg/matrix_function.h"
#include "scorejet/models/score_model.h"
#include "scorejet/objectives/denoising.h"
#include "scorejet/posterior/denoise.h"
#include "scorejet/posterior/residual.h"
#include "scorejet/sampling/chains.h"
#include "scorejet/sampling/kernel.h"
#include "scorejet/training/run_folder.h"
#include "scorejet/training/trainer.h"
#include "scorejet/tweedie/moments.h"
