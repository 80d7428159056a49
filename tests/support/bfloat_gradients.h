// tests/support/bfloat_gradients.h: gradients of whole models in bfloat16.
#pragma once
#include <gtest/gtest.h>

#include "io/error.h"
#include "support/close.h"
#include "support/oracle.h"

namespace loraxs::test {

/// The bank's gradients, of a bfloat16 step on the case, are at most half as far again from float64 as autograd's are
/// in transformers' bfloat16. Rounding of 2⁻⁹ at every tensor between the loss and a layer adds up in proportion to how
/// deep it lies, in theirs as in ours, while ours keeps norms, softmax, R and the loss in float32.
inline void expect_no_further(const OracleCase& oracle, const Bank& bank) {
  std::vector<torch::Tensor> theirs, exact;
  for (const LayoutSegment& segment : bank.layout->segments) {
    const std::string name = segment.head ? segment.name : segment.name.substr(0, segment.name.size() - 2);
    theirs.push_back(oracle.tensor("grad16." + name).reshape(-1));
    exact.push_back(oracle.tensor("grad64." + name).reshape(-1));
  }
  const torch::Tensor expected = torch::cat(exact);
  // Two draws of one rounding: the farther may be theirs or ours.
  const double bound = 1.5 * relative_error(torch::cat(theirs), expected);
  EXPECT_TRUE(close(bank.gradients[0], expected, bound));
  EXPECT_FALSE(close(bank.gradients[0], expected, 1e-4)) << "control: it is bfloat16 that was measured";
  for (const LayoutSegment& segment : bank.layout->segments) {  // control: R the other way round is far off
    if (segment.head || bound > 0.2) continue;
    const torch::Tensor found = bank.gradients[0].narrow(0, segment.offset, segment.numel()).view(segment.shape);
    const std::string site = segment.name.substr(0, segment.name.size() - 2);
    EXPECT_FALSE(close(found.t(), oracle.tensor("grad64." + site), bound)) << segment.name;
  }
}

}  // namespace loraxs::test
