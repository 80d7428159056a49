// The Python module loraxs._native; python/loraxs/__init__.py is what users see.
#include "io/error.h"
#include "python/bindings.h"

NB_MODULE(_native, module) {
  nanobind::exception<loraxs::Error>(module, "Error", PyExc_ValueError).attr("__doc__") =
      "Something the caller can fix: the text says where, what was expected, what was found.";
  loraxs::bind_adapters(module);
  loraxs::bind_training(module);
}
