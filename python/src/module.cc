// The module itself: exceptions, signals, and what it was built for.
#include <c10/util/Exception.h>
#include <torch/csrc/Exceptions.h>

#include <atomic>

#include "python/src/bindings.h"

namespace scorejet::python {

void check_signals() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

namespace {
std::atomic<bool> noted{false};
}

void note_interrupt(const py::error_already_set& error) {
  if (error.matches(PyExc_KeyboardInterrupt)) noted = true;
}

void forget_interrupts() { noted = false; }

bool interrupted() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) {
    PyErr_Clear();
    noted = true;
  }
  return noted.exchange(false);
}

namespace {

// std::invalid_argument and std::domain_error are ValueError by pybind11 itself.
void translate(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const c10::NotImplementedError& error) {
    PyErr_SetString(PyExc_NotImplementedError, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what_without_backtrace());
  }
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  py::module_::import("torch");  // whose libraries this one needs
  module.doc() = "The C++ library under scorejet; use the scorejet package.";
  module.attr("version") = SCOREJET_VERSION;
  py::register_local_exception_translator(translate);
  bind_operators(module);
  bind_fields(module);
  bind_posterior(module);
  bind_chains(module);
  bind_training(module);
  bind_distributions(module);
}

}  // namespace scorejet::python
