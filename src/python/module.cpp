// The Python module loraxs._native; python/loraxs/__init__.py is what users see.
#include <exception>
#include <system_error>

#include "io/error.h"
#include "python/bindings.h"

NB_MODULE(_native, module) {
  nanobind::exception<loraxs::Error>(module, "Error", PyExc_ValueError).attr("__doc__") =
      "Something the caller can fix: the text says where, what was expected, what was found.";
  nanobind::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (
        const std::system_error& error) {  // of a folder that is full or closed to us, as Python's own open() would
      PyErr_SetString(PyExc_OSError, error.what());
    }
  });
  loraxs::bind_adapters(module);
  loraxs::bind_training(module);
  loraxs::bind_fleet(module);  // after the recipe that it takes
  loraxs::bind_generation(module);
}
