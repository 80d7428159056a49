#include "adapt/combine.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "adapt/method.h"
#include "io/error.h"

namespace loraxs {
namespace {

class ExpressionReader {
 public:
  explicit ExpressionReader(const std::string& text) : text_(text) {}

  std::vector<CombineTerm> read() {
    std::vector<CombineTerm> terms;
    double sign = 1;
    skip_blanks();
    if (peek() == '-') {
      sign = -1;
      ++at_;
    }
    while (true) {
      CombineTerm term = read_term();
      term.weight *= sign;
      terms.push_back(term);
      skip_blanks();
      if (at_ == text_.size()) return terms;
      const char next = text_[at_];
      if (next != '+' && next != '-') fail("expected + or -");
      sign = next == '+' ? 1 : -1;
      ++at_;
    }
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(concat("combine: \"", text_, "\": ", what, " at position ", at_ + 1,
                       "; write for example \"0.7*a.safetensors + 0.3*b.safetensors\""));
  }
  std::string read_word() {
    skip_blanks();
    if (peek() == '"' || peek() == '\'') {
      const char quote = text_[at_];
      const size_t end = text_.find(quote, at_ + 1);
      if (end == std::string::npos) fail("expected the closing quote");
      std::string word = text_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
      return word;
    }
    const size_t begin = at_;
    const std::string_view ends = in_mean_ ? "*,)" : "*";
    const auto in_url = [&] { return in_mean_ && text_.find("://", begin) < at_; };  // mean(URL#tenant/begin*)
    while (at_ < text_.size() && !std::isspace(static_cast<unsigned char>(text_[at_])) &&
           (ends.find(text_[at_]) == std::string_view::npos || (text_[at_] == '*' && in_url()))) {
      ++at_;
    }
    if (begin == at_) fail("expected a number or a file name");
    return text_.substr(begin, at_ - begin);
  }
  /// A file, or mean(FOLDER) or mean(FOLDER, FILE).
  CombineTerm read_name() {
    skip_blanks();
    constexpr std::string_view kMean = "mean(";
    if (!std::string_view(text_).substr(at_).starts_with(kMean)) return {.name = read_word()};
    at_ += kMean.size();
    in_mean_ = true;
    CombineTerm term{.name = read_word(), .is_mean = true};
    skip_blanks();
    if (peek() == ',') {
      ++at_;
      term.mean_weights = read_word();
      skip_blanks();
    }
    if (peek() != ')') fail("expected the closing bracket of mean(FOLDER)");
    ++at_;
    in_mean_ = false;
    return term;
  }
  CombineTerm read_term() {
    const size_t begin = at_;
    CombineTerm term = read_name();
    skip_blanks();
    if (term.is_mean || peek() != '*') return term;
    const std::string& word = term.name;
    char* end = nullptr;
    const double weight = std::strtod(word.c_str(), &end);
    if (word.empty() || *end != '\0' || !std::isfinite(weight)) {
      at_ = begin;
      fail(concat("expected a finite number before *, found \"", word, "\""));
    }
    ++at_;
    term = read_name();
    term.weight = weight;
    return term;
  }

  const std::string& text_;
  size_t at_ = 0;
  bool in_mean_ = false;
};

/// 1 − Σ wᵢ: what of h₀ is in h₀ + Σ wᵢ (hᵢ − h₀). 0 where nothing but the rounding of the weights is left.
double weight_of_start(const std::vector<CombineInput>& inputs) {
  double rest = 1;
  for (const CombineInput& input : inputs) rest -= input.weight;
  constexpr double kRounding = 1e-9;
  return std::abs(rest) > kRounding ? rest : 0;
}

HeadLayout combined_head(const std::vector<CombineInput>& inputs, const HeadRule& rule) {
  if (rule.kind == "none") return {};
  if (rule.kind == "take") return inputs.at(rule.take).bank->layout->head;
  const HeadLayout& first = inputs.front().bank->layout->head;
  for (const CombineInput& input : inputs) {
    const std::vector<std::string>& labels = inputs.front().bank->labels(inputs.front().row);
    if (input.bank->layout->head == first && input.bank->labels(input.row) == labels) continue;
    throw Error(
        "combine: the adapters have different heads; say which one to keep with loraxs combine --head NAME, or --head "
        "none");
  }
  if (first.kind != "none" && !rule.start.defined() && weight_of_start(inputs) != 0) {
    throw Error(concat(
        "combine: heads that did not start from one known draw (same seed and task) can be summed only "
        "with weights that sum to 1, found ",
        1 - weight_of_start(inputs), "; say which head to keep with loraxs combine --head NAME, or --head none"));
  }
  return first;
}

/// The method that all inputs are of. Throws Error where they differ, or where its rows cannot be added.
const Method& common_method(const std::vector<CombineInput>& inputs) {
  const Method& method = find_method(inputs.front().bank->layout->method, "combine");
  for (const CombineInput& input : inputs) {
    const std::string& other = input.bank->layout->method;
    const MethodTraits& traits = find_method(other, "combine").traits;
    if (!traits.combines && !traits.concatenates) {
      throw Error(
          concat("combine: expected adapters of lora_xs or lora, found ", other, ", whose rows are no vector space"));
    }
    if (other != method.name) {
      throw Error(concat("combine: expected adapters of one method, found ", method.name, " and ", other,
                         "; import --rank projects a LoRA on the basis of lora_xs"));
    }
  }
  return method;
}

/// Union of the inputs' sites in canonical order: layer by layer, modules as the widest input has them.
std::vector<Site> united_sites(const std::vector<CombineInput>& inputs) {
  std::vector<Site> sites;
  for (const CombineInput& input : inputs) {
    for (const Site& site : input.bank->layout->sites) {
      if (std::find(sites.begin(), sites.end(), site) == sites.end()) sites.push_back(site);
    }
  }
  std::stable_sort(sites.begin(), sites.end(), [](const Site& x, const Site& y) { return x.layer < y.layer; });
  return sites;
}

torch::Tensor segment_of(const torch::Tensor& row, const LayoutSegment& segment) {
  return row.narrow(0, segment.offset, segment.numel()).view(segment.shape);
}

}  // namespace

WeightedSum::WeightedSum(Layout layout, double alpha)
    : layout_(std::move(layout)),
      alpha_(alpha),
      row_(torch::zeros({layout_.row_size}, torch::kFloat64)),
      done_(layout_.sites.size(), 0) {}

void WeightedSum::add(const torch::Tensor& row, const Layout& source, double alpha, double weight, double head_weight) {
  const Method& method = find_method(layout_.method, "combine");
  const torch::Tensor values = row.to(torch::kFloat64);
  for (size_t s = 0; s < layout_.sites.size(); ++s) {
    const int64_t rank = source.rank_of(layout_.sites[s].name);
    if (rank == 0) continue;
    const double scale =
        method.scale(alpha, rank, source.options) / method.scale(alpha_, layout_.ranks[s], layout_.options);
    add_site(s, values, source, weight * scale);
    done_[s] += rank;
  }
  for (const LayoutSegment& target : layout_.segments) {
    const LayoutSegment* own = target.head && head_weight != 0 ? source.find(target.name) : nullptr;
    if (own != nullptr) segment_of(row_, target).add_(segment_of(values, *own), head_weight);
  }
}

void WeightedSum::add_site(size_t s, const torch::Tensor& values, const Layout& source, double factor) {
  const Site& site = layout_.sites[s];
  const int64_t rank = source.rank_of(site.name);
  if (const LayoutSegment* r = source.part(site, "r"); r != nullptr) {
    segment_of(row_, *layout_.part(site, "r"))
        .narrow(0, 0, rank)
        .narrow(1, 0, rank)
        .add_(segment_of(values, *r), factor);
    return;
  }
  segment_of(row_, *layout_.part(site, "a"))
      .narrow(0, done_[s], rank)
      .copy_(segment_of(values, *source.part(site, "a")));
  segment_of(row_, *layout_.part(site, "b"))
      .narrow(1, done_[s], rank)
      .copy_(segment_of(values, *source.part(site, "b")) * factor);
}

std::vector<CombineTerm> parse_combination(const std::string& expression) {
  return ExpressionReader(expression).read();
}

Bank combine(const std::vector<CombineInput>& inputs, const HeadRule& rule) {
  TORCH_CHECK(!inputs.empty(), "combine: nothing to combine");
  const Method& method = common_method(inputs);
  const std::vector<Site> sites = united_sites(inputs);
  std::vector<int64_t> ranks;
  for (const Site& site : sites) {
    int64_t rank = 0;
    for (const CombineInput& input : inputs) {
      const int64_t mine = input.bank->layout->rank_of(site.name);
      rank = method.traits.concatenates ? rank + mine : std::max(rank, mine);
    }
    ranks.push_back(rank);
  }
  const HeadLayout head = combined_head(inputs, rule);
  const Bank& first = *inputs.front().bank;
  const Layout layout =
      make_layout(method.name, sites, ranks, head, first.layout->hidden_size, "combine", first.layout->options);
  const double alpha = first.alpha(inputs.front().row);
  WeightedSum sum(layout, alpha);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& [bank, row, weight] = inputs[i];
    const double head_weight = rule.kind == "take" ? (i == rule.take ? 1.0 : 0.0) : weight;
    sum.add(bank->values.select(0, row), *bank->layout, bank->alpha(row), weight, head_weight);
  }
  const torch::Tensor row = sum.row();
  if (const double rest = weight_of_start(inputs); rule.kind == "auto" && rule.start.defined() && rest != 0) {
    row.narrow(0, layout.adapter_numbers, rule.start.numel()).add_(rule.start, rest);
  }
  Bank result = make_bank(layout, alpha, 1, first.values.scalar_type());
  result.values.select(0, 0).copy_(row);
  const CombineInput& named = inputs.at(rule.kind == "take" ? rule.take : 0);
  if (head.kind != "none") result.entries[0].classes = named.bank->entries.at(named.row).classes;
  return result;
}

}  // namespace loraxs
