#include "adapt/method.h"
#include "adapt/methods/lora_xs.h"
#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

const std::vector<Method>& methods() {
  static const std::vector<Method> all = {lora_xs()};
  return all;
}

}  // namespace

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const Method& method : methods()) names.push_back(method.name);
  return names;
}

const Method& find_method(const std::string& name, const std::string& where) {
  for (const Method& method : methods()) {
    if (method.name == name) return method;
  }
  std::string known;
  for (const Method& method : methods()) known += (known.empty() ? "" : ", ") + method.name;
  throw Error(concat(where, ": method.name: expected one of ", known, ", found \"", name, "\""));
}

}  // namespace loraxs
