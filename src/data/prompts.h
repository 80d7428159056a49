// data/prompts.h: what stands around an instruction before a model answers it.
#pragma once
#include <string>

namespace loraxs {

/// Of Stanford Alpaca, and of the paper's math runs (MetaMathQA): the answer follows "### Response:" directly. A
/// `system` turn stands in place of the first sentences, as in LLaMA-Factory's template alpaca (data/template.py
/// there).
std::string alpaca_prompt(const std::string& instruction, const std::string& input, const std::string& system = "");

/// Of LLM-Adapters' commonsense runs, with its trailing blanks. Training's first line ends with two blanks (one with an
/// input), evaluation's with one (none with an input), as the reference has it.
std::string llm_adapters_prompt(const std::string& instruction, const std::string& input, bool training);

}  // namespace loraxs
