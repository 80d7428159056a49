// config.json: what a family accepts has sizes within their ranges, and its list of sites can be made.
#include <cstdlib>
#include <string_view>

#include "io/error.h"
#include "io/json.h"
#include "model/architecture.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  try {
    Fields fields(parse_json(std::string_view(reinterpret_cast<const char*>(data), size), "config.json"),
                  "config.json");
    const Architecture& architecture = find_architecture(fields.text("model_type", ""), "config.json");
    const ModelConfig config = parse_model_config(architecture, fields).config;
    if (config.num_hidden_layers < 1 || config.num_hidden_layers > kMostLayers) std::abort();
    for (const Site& site : list_sites(architecture, config)) {
      if (site.in_features < 1 || site.in_features > kMostWidth || site.out_features < 1 ||
          site.out_features > kMostWidth) {
        std::abort();
      }
    }
    if (config.max_length() < 1 || config.canonical().empty()) std::abort();
  } catch (const Error& error) {
    if (first_invalid_utf8(error.what()) != std::string_view::npos) std::abort();
  }
  return 0;
}
