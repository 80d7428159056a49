#include <cmath>

#include "adapt/method.h"
#include "adapt/methods/adalora.h"
#include "adapt/methods/full.h"
#include "adapt/methods/lora.h"
#include "adapt/methods/lora_sb.h"
#include "adapt/methods/lora_xs.h"
#include "adapt/methods/pissa.h"
#include "adapt/methods/tied_lora.h"
#include "adapt/methods/tiny_lora.h"
#include "adapt/methods/vera.h"
#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

const std::vector<Method>& methods() {
  static const std::vector<Method> all = {lora_xs(), lora_sb(), lora(),      pissa(),    full(),
                                          vera(),    adalora(), tied_lora(), tiny_lora()};
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

double rank_divisor(int64_t rank, const MethodOptions& options) {
  const auto r = static_cast<double>(rank);
  return options.rslora ? std::sqrt(r) : r;
}

double rank_scale(double alpha, int64_t rank, const MethodOptions& options) {
  return alpha / rank_divisor(rank, options);
}

std::span<float> segment_span(const Layout& layout, std::span<float> row, const std::string& name) {
  const LayoutSegment* segment = layout.find(name);
  TORCH_CHECK(segment != nullptr, "segment_span: no segment ", name);
  return row.subspan(segment->offset, segment->numel());
}

}  // namespace loraxs
