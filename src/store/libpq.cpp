#include "store/libpq.h"

#include <dlfcn.h>

#include "io/error.h"

namespace loraxs {
namespace {

template <typename Function>
void load_function(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr)
    throw Error(concat("libpq.so.5: expected PostgreSQL's client library, found one without ", name));
}

Libpq load_libpq() {
  void* const library = ::dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);  // stays until the process ends
  if (library == nullptr) {
    throw Error(
        "postgresql://: expected PostgreSQL's client library libpq.so.5 on this machine, found none (Debian: libpq5)");
  }
  Libpq found;
  load_function(library, "PQclear", found.PQclear);
  load_function(library, "PQconnectdbParams", found.PQconnectdbParams);
  load_function(library, "PQerrorMessage", found.PQerrorMessage);
  load_function(library, "PQexec", found.PQexec);
  load_function(library, "PQexecParams", found.PQexecParams);
  load_function(library, "PQfinish", found.PQfinish);
  load_function(library, "PQgetResult", found.PQgetResult);
  load_function(library, "PQgetisnull", found.PQgetisnull);
  load_function(library, "PQgetlength", found.PQgetlength);
  load_function(library, "PQgetvalue", found.PQgetvalue);
  load_function(library, "PQntuples", found.PQntuples);
  load_function(library, "PQputCopyData", found.PQputCopyData);
  load_function(library, "PQputCopyEnd", found.PQputCopyEnd);
  load_function(library, "PQresultErrorField", found.PQresultErrorField);
  load_function(library, "PQresultStatus", found.PQresultStatus);
  load_function(library, "PQstatus", found.PQstatus);
  load_function(library, "PQtransactionStatus", found.PQtransactionStatus);
  return found;
}

}  // namespace

const Libpq& libpq() {
  static const Libpq loaded = load_libpq();
  return loaded;
}

}  // namespace loraxs
