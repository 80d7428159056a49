// data/example_view.h: some examples of a data set, in an order of their own: what jobs train on and are scored on.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/encoded.h"

namespace loraxs {

/// Indices into a shared data set; no example is copied, whoever else looks at it. Copying a view is two pointers.
class ExampleView {
 public:
  ExampleView() = default;                                                // of no examples
  ExampleView(EncodedExamples&& examples);                                // of all; they live as long as a view of them
  explicit ExampleView(std::shared_ptr<const EncodedExamples> examples);  // of all, in their order

  int64_t size() const { return indices_ ? static_cast<int64_t>(indices_->size()) : examples_ ? examples_->size() : 0; }
  const Encoding& encoding(int64_t i) const { return examples_->encodings[index(i)]; }
  double target(int64_t i) const { return examples_->targets[index(i)]; }
  int64_t length(int64_t i) const { return examples_->length(index(i)); }
  std::vector<int64_t> lengths() const;
  std::vector<double> targets() const;
  int64_t num_tokens() const;
  /// Example `i` as a sequence of a slot, without job facts; its key is `i`, the place in this view.
  Sequence sequence(int64_t i, int64_t slot) const;
  /// The examples at places `chosen` of this view, in that order.
  ExampleView take(std::span<const int64_t> chosen) const;
  /// Whether both look at the same examples of the same data set.
  bool operator==(const ExampleView& other) const = default;

 private:
  int64_t index(int64_t i) const { return indices_ ? (*indices_)[i] : i; }

  std::shared_ptr<const EncodedExamples> examples_;
  std::shared_ptr<const std::vector<int64_t>> indices_;  // null: all in their order
};

}  // namespace loraxs
