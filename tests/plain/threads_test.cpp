// What the headers call thread-safe, in eight threads at once: every thread gets what one alone gets. Built with
// -DCMAKE_CXX_FLAGS=-fsanitize=thread this is the race test of all that threads share outside of LibTorch.
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "io/text_file.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/regex.h"
#include "text/text_limit.h"
#include "text/tokenizer.h"

namespace loraxs {
namespace {

/// `work` of 0, 1, …, first in this thread, then in eight at a time that start together.
void expect_equal_in_threads(size_t count, const std::function<std::string(size_t)>& work) {
  std::vector<std::string> expected;
  for (size_t i = 0; i < count; ++i) expected.push_back(work(i));
  constexpr size_t kThreads = 8;
  std::vector<std::vector<std::string>> found(kThreads, std::vector<std::string>(count));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < count; ++i) found[t][(i + t) % count] = work((i + t) % count);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<std::string>& each : found) EXPECT_EQ(each, expected);
}

std::string text_of(size_t number) {
  std::string text = "Größe 漢字 🦜 it's  ";
  for (size_t i = 0; i <= number % 13; ++i)
    text += " word" + std::to_string(number * 7919 + i) + (i % 3 == 0 ? "\n" : ",");
  return text;
}

TEST(ThreadsTest, Tokenizers) {
  for (const char* model : {"models/minilm", "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}) {
    const auto tokenizer = load_tokenizer(model);
    expect_equal_in_threads(100, [&](size_t i) {
      const Encoding pair = tokenizer->encode(text_of(i), text_of(i + 1), 40);
      const std::vector<int32_t> ids = tokenizer->encode_text(text_of(i), {});
      Detokenizer detokenizer(*tokenizer);
      std::string text = tokenizer->decode(pair.input_ids, /*skip_special=*/true);
      for (const int32_t id : ids) text += detokenizer.push(id);
      return text + detokenizer.finish();
    });
  }
}

TEST(ThreadsTest, ChatTemplatesAndRegularExpressions) {
  const ChatTemplate chat(read_text_file("tests/templates/llama3.jinja"), "llama3.jinja");
  const Regex words("\\p{L}+|(?=x)x|\\s+(?!\\S)", "test");
  expect_equal_in_threads(100, [&](size_t i) {
    const nlohmann::ordered_json messages = {{{"role", "user"}, {"content", text_of(i)}}};
    std::string found = chat.render(messages, {.add_generation_prompt = true, .bos_token = "<s>"});
    const std::string rendered = found;
    TextLimit limit(rendered.size());
    words.for_each_match(rendered, limit, [&](size_t begin, size_t end) { found += std::to_string(end - begin); });
    return found;
  });
}

}  // namespace
}  // namespace loraxs
