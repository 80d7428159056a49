// data/example.h: one labelled text or pair of texts.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loraxs {

struct Example {
  std::string first;
  std::optional<std::string> second;  // pair tasks
  std::optional<double> target;       // label index, or the score of a regression task; absent when unlabelled
};

}  // namespace loraxs
