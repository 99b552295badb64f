// What the sources of scorejet._core share. Each binds one header of include/scorejet/: add a
// source with its bind_NAME() here and in module.cc.
#pragma once

#include <ATen/core/grad_mode.h>
#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

#include <memory>

#include "scorejet/score_field.h"

namespace scorejet::python {

namespace py = pybind11;

// Every call that computes lets other Python threads run.
using Released = py::call_guard<py::gil_scoped_release>;
using FieldPointer = std::shared_ptr<score::ScoreField>;

// Whether the user has pressed Ctrl-C: then throws KeyboardInterrupt. Takes the GIL.
void check_signals();
// The same, without throwing: for work that keeps what it has. True too where an exception that was
// noted has carried Ctrl-C out of a callable since.
bool interrupted();
void forget_interrupts();  // those noted before work of this kind begins
void note_interrupt(const py::error_already_set& error);

void bind_operators(py::module_& module);
void bind_fields(py::module_& module);
void bind_posterior(py::module_& module);
void bind_chains(py::module_& module);
void bind_training(py::module_& module);
void bind_distributions(py::module_& module);

}  // namespace scorejet::python
