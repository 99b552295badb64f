// SymmetricOperator and SymmetricTensor: what second- and third-order scores and covariances are.
#include "python/src/bindings.h"
#include "scorejet/symmetric_operator.h"
#include "scorejet/symmetric_tensor.h"
#include "src/linalg/lanczos.h"

namespace scorejet::python {

using linalg::SymmetricOperator;
using linalg::SymmetricTensor;

void bind_operators(py::module_& module) {
  py::class_<SymmetricOperator>(module, "SymmetricOperator")
      .def_static("from_dense", &SymmetricOperator::from_dense, py::arg("matrix"))
      .def_static("from_diagonal", &SymmetricOperator::from_diagonal, py::arg("diagonal"))
      .def_static("from_low_rank", &SymmetricOperator::from_low_rank, py::arg("diagonal"),
                  py::arg("factor"))
      .def_property_readonly(
          "structure",
          [](const SymmetricOperator& op) { return linalg::structure_name(op.structure()); })
      .def_property_readonly("batch", &SymmetricOperator::batch)
      .def_property_readonly("dim", &SymmetricOperator::dim)
      .def_property_readonly("rank", &SymmetricOperator::rank)
      .def("diagonal_part", &SymmetricOperator::diagonal_part)
      .def("factor", &SymmetricOperator::factor)
      .def("apply", &SymmetricOperator::apply, py::arg("v"), Released())
      .def("diagonal", &SymmetricOperator::diagonal, Released())
      .def("dense", &SymmetricOperator::dense, Released())
      .def("trace", &SymmetricOperator::trace, Released())
      .def("affine", &SymmetricOperator::affine, py::arg("shift"), py::arg("scale"), Released())
      .def(
          "eigh",
          [](const SymmetricOperator& op, int64_t count, double tolerance) {
            const linalg::EigenPairs pairs =
                linalg::top_eigenpairs(op, count, {.tolerance = tolerance});
            return std::make_tuple(pairs.values, pairs.vectors.transpose(1, 2).contiguous(),
                                   pairs.residual, pairs.converged);
          },
          py::arg("count"), py::arg("tolerance"), Released());
  py::class_<SymmetricTensor>(module, "SymmetricTensor")
      .def_property_readonly("dim", &SymmetricTensor::dim)
      .def("diagonal", &SymmetricTensor::diagonal, Released())
      .def("dense", &SymmetricTensor::dense, Released())
      .def("apply", &SymmetricTensor::apply, py::arg("v"), Released())
      .def("cubic_form", &SymmetricTensor::cubic_form, py::arg("v"), Released());
}

}  // namespace scorejet::python
