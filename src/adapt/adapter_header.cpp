#include "adapt/adapter_header.h"

#include <charconv>
#include <cmath>
#include <string_view>

#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"

namespace loraxs {
namespace {

BasisRecipe basis_recipe_from_json(Fields fields) {
  BasisRecipe recipe;
  recipe.rank = fields.positive_int("rank", recipe.rank);
  recipe.variant = fields.choice(
      "variant", recipe.variant,
      {"weight", "random", "svd_of_random", "inputs", "vera", "gradient", "imported_svd", "imported_random"});
  recipe.vectors = fields.choice("vectors", recipe.vectors, {"top", "middle", "bottom"});
  recipe.sigma = fields.boolean("sigma", recipe.sigma);
  recipe.seed = static_cast<uint64_t>(fields.non_negative_int("seed", 0));
  fields.finish();
  return recipe;
}

nlohmann::json parse_metadata(const std::string& text, const std::string& where, const std::string& key) {
  return parse_json(text, concat(where, ": metadata ", key));
}

/// Numbers with single blanks between them.
std::vector<double> parse_fingerprint(std::string_view text, const std::string& where) {
  std::vector<double> numbers;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    double value = 0;
    const auto [at, code] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (code != std::errc() || at != word.data() + word.size() || !std::isfinite(value)) break;
    numbers.push_back(value);
    text.remove_prefix(std::min(word.size() + 1, text.size()));
  }
  if (numbers.empty() || !text.empty()) {
    throw Error(concat(where, ": fingerprint: expected numbers, found \"", shortened(text, 60), "\""));
  }
  return numbers;
}

}  // namespace

nlohmann::json basis_recipe_to_json(const BasisRecipe& recipe) {
  nlohmann::json json = {{"rank", recipe.rank}};
  const BasisRecipe usual;
  if (recipe.variant != usual.variant) json["variant"] = recipe.variant;
  if (recipe.vectors != usual.vectors) json["vectors"] = recipe.vectors;
  if (recipe.sigma != usual.sigma) json["sigma"] = recipe.sigma;
  if (recipe.seed != usual.seed) json["seed"] = recipe.seed;
  return json;
}

AdapterHeader read_adapter_header(const Safetensors& file,
                                  const std::function<bool(const std::string& method)>& reads_basis) {
  const std::string where = file.path.string();
  AdapterHeader header;
  const nlohmann::json alpha = parse_metadata(file.metadata_at("alpha"), where, "alpha");
  if (!alpha.is_number() || !(alpha.get<double>() > 0)) {
    throw Error(concat(where, ": alpha: expected a positive number, found ", shortened(json_text(alpha), 60)));
  }
  header.alpha = alpha.get<double>();
  header.layout_json = file.metadata_at("layout");
  Fields layout(parse_metadata(header.layout_json, where, "layout"), where, "layout");
  header.method = layout.text("method", "");
  if (header.method.empty()) layout.fail("method", "expected a name, found none");
  if (!layout.raw("labels").empty()) header.labels = layout.strings("labels", {});
  if (reads_basis != nullptr ? !reads_basis(header.method) : !file.metadata.contains("basis")) return header;
  header.basis_id = file.metadata_at("basis_id");
  header.basis =
      basis_recipe_from_json(Fields(parse_metadata(file.metadata_at("basis"), where, "basis"), where, "basis"));
  header.fingerprint = parse_fingerprint(file.metadata_at("fingerprint"), where);
  return header;
}

}  // namespace loraxs
