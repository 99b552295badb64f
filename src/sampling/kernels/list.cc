// The list of kernels. Add a file's kernels here, twice: what it defines, and its place in the
// list.
#include "scorejet/kernel.h"

namespace scorejet::sampling {

Kernel langevin_kernel();                   // langevin.cc
Kernel mala_kernel();                       //
Kernel line_mala_kernel();                  //
Kernel ozaki_kernel();                      // ozaki.cc
Kernel ozaki_diagonal_kernel();             //
Kernel metropolis_ozaki_kernel();           //
Kernel metropolis_ozaki_diagonal_kernel();  //
Kernel line_ozaki_kernel();                 //
Kernel line_ozaki_diagonal_kernel();        //
Kernel hmc_kernel();                        // hmc.cc

const std::vector<Kernel>& kernels() {
  static const std::vector<Kernel> list{langevin_kernel(),
                                        ozaki_kernel(),
                                        ozaki_diagonal_kernel(),
                                        mala_kernel(),
                                        metropolis_ozaki_kernel(),
                                        metropolis_ozaki_diagonal_kernel(),
                                        line_mala_kernel(),
                                        line_ozaki_kernel(),
                                        line_ozaki_diagonal_kernel(),
                                        hmc_kernel()};
  return list;
}

}  // namespace scorejet::sampling
