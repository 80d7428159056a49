// data/example.h: one labelled text or pair of texts, one prompt with its answer, or one conversation.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace loraxs {

struct Example {
  std::string first;                  // language models: the prompt; empty in plain text
  std::optional<std::string> second;  // pair tasks: the second text; language models: the answer
  std::optional<double> target;       // label index, or the score of a regression task; absent when unlabelled
  std::optional<std::string> asked;   // language models: the prompt of the paper's evaluation, where it is not `first`
  nlohmann::ordered_json messages;    // a conversation (data/chat_turns.h), in place of the texts; else null
  nlohmann::ordered_json tools;       // of a conversation: JSON schemas of functions; null: none
  nlohmann::ordered_json documents;   // of a conversation; null: none
  nlohmann::ordered_json template_arguments;  // further names for the template: an object; null: none
  std::string where;                          // "chats.jsonl:12", for errors of conversations; empty elsewhere
};

}  // namespace loraxs
