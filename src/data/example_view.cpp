#include "data/example_view.h"

namespace loraxs {

ExampleView::ExampleView(EncodedExamples&& examples)
    : ExampleView(std::make_shared<const EncodedExamples>(std::move(examples))) {}

ExampleView::ExampleView(std::shared_ptr<const EncodedExamples> examples) : examples_(std::move(examples)) {}

std::vector<int64_t> ExampleView::lengths() const {
  std::vector<int64_t> result;
  result.reserve(size());
  for (int64_t i = 0; i < size(); ++i) result.push_back(length(i));
  return result;
}

std::vector<double> ExampleView::targets() const {
  std::vector<double> result;
  result.reserve(size());
  for (int64_t i = 0; i < size(); ++i) result.push_back(target(i));
  return result;
}

int64_t ExampleView::num_tokens() const {
  int64_t tokens = 0;
  for (int64_t i = 0; i < size(); ++i) tokens += length(i);
  return tokens;
}

Sequence ExampleView::sequence(int64_t i, int64_t slot) const {
  const Encoding& chosen = encoding(i);
  return {.input_ids = chosen.input_ids,
          .token_type_ids = chosen.token_type_ids,
          .is_target = chosen.is_target,
          .slot = slot,
          .example = static_cast<uint64_t>(i),
          .target = target(i)};
}

ExampleView ExampleView::take(std::span<const int64_t> chosen) const {
  std::vector<int64_t> taken;
  taken.reserve(chosen.size());
  for (const int64_t i : chosen) taken.push_back(index(i));
  ExampleView view(examples_);
  view.indices_ = std::make_shared<const std::vector<int64_t>>(std::move(taken));
  return view;
}

}  // namespace loraxs
