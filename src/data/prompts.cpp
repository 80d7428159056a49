#include "data/prompts.h"

namespace loraxs {
namespace {

constexpr const char* kWithout =
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.";
constexpr const char* kWith =
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.";

}  // namespace

std::string alpaca_prompt(const std::string& instruction, const std::string& input, const std::string& system) {
  const std::string between = input.empty() ? "" : "\n\n### Input:\n" + input;
  const std::string begin = !system.empty() ? system : input.empty() ? kWithout : kWith;
  return begin + "\n\n### Instruction:\n" + instruction + between + "\n\n### Response:";
}

std::string llm_adapters_prompt(const std::string& instruction, const std::string& input, bool training) {
  const std::string indent(16, ' ');  // of the Python source the prompt stands in
  const std::string blanks((training ? 1 : 0) + (input.empty() ? 1 : 0), ' ');
  const std::string between = input.empty() ? "" : "\n\n" + indent + "### Input:\n" + indent + input;
  return std::string(input.empty() ? kWithout : kWith) + blanks + "\n\n" + indent + "### Instruction:\n" + indent +
         instruction + between + "\n\n" + indent + "### Response:\n" + indent;
}

}  // namespace loraxs
