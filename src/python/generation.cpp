#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <mutex>

#include "api/answers.h"
#include "api/prompt_adapters.h"
#include "data/chat_record.h"
#include "data/json_records.h"
#include "io/error.h"
#include "io/json.h"
#include "python/bindings.h"

namespace nb = nanobind;

namespace loraxs {
namespace {

/// A text model that threads may share: calls wait for each other.
struct PythonGenerator {
  TextModel model;
  Settings settings;
  std::mutex mutex;
};

/// A prompt as python/loraxs/__init__.py hands it over.
struct PythonPrompt {
  std::string text, adapter;
  bool conversation = false;  // `text` is JSON of a list of turns
};

std::vector<PythonPrompt> prompts_of(const nb::list& prompts, const std::vector<std::string>& adapters) {
  std::vector<PythonPrompt> all;
  for (size_t i = 0; i < adapters.size(); ++i) {
    const auto pair = nb::cast<nb::tuple>(prompts[i]);
    all.push_back(
        {.text = nb::cast<std::string>(pair[0]), .adapter = adapters[i], .conversation = nb::cast<bool>(pair[1])});
  }
  return all;
}

std::vector<int32_t> encode(const TextModel& model, const PythonPrompt& prompt, const std::string& where) {
  if (!prompt.conversation) return model.encode(prompt.text);
  return model.encode(read_chat_record(parse_ordered_json(prompt.text, where, kDataLimits), where, NeedsAnswer::kNo));
}

nb::list logprobs_of(const Tokenizer& tokenizer, const Answer& answer) {
  const auto entry = [&](int32_t id, float logprob) {
    return nb::make_tuple(id, tokenizer.decode(std::vector{id}, /*skip_special=*/false), logprob);
  };
  nb::list tokens;
  for (const SampledToken& token : answer.sampled) {
    nb::list top;
    for (const TokenLogprob& likely : token.top) top.append(entry(likely.id, likely.logprob));
    tokens.append(nb::make_tuple(entry(token.id, token.logprob), top));
  }
  return tokens;
}

/// Tells `on_text` (None, or a callable) of every piece, and takes Ctrl-C.
void tell(const nb::object& on_text, size_t question, int64_t sample, const std::string& piece) {
  nb::gil_scoped_acquire acquire;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
  if (!on_text.is_none() && !piece.empty()) on_text(question, sample, piece);
}

nb::list generate(PythonGenerator& self, const nb::list& prompts, const std::vector<std::string>& adapters,
                  const std::string& required, AnswerOptions options, const nb::object& on_text) {
  const std::vector<PythonPrompt> all = prompts_of(prompts, adapters);
  options.check("generate");
  options.on_text = [&](size_t question, int64_t sample, const std::string& piece) {
    tell(on_text, question, sample, piece);
  };
  std::vector<std::vector<Answer>> done(all.size());
  {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(self.mutex);
    const PromptAdapters plugged(self.model, adapters, required, {}, self.settings);
    std::vector<Question> questions;
    for (size_t i = 0; i < all.size(); ++i) {
      const std::string where = concat("prompt ", i), error = plugged.error(where, all[i].adapter);
      questions.push_back(
          error.empty() ? make_question(
                              where, [&] { return encode(self.model, all[i], where); }, plugged.slot(all[i].adapter))
                        : Question{.name = where, .error = error});
    }
    answer_questions(self.model, questions, options,
                     [&](size_t index, std::vector<Answer> answers) { done[index] = std::move(answers); });
  }
  nb::list results;
  for (const std::vector<Answer>& answers : done) {
    nb::list of_prompt;
    for (const Answer& answer : answers) {
      of_prompt.append(nb::make_tuple(answer.text, answer.tokens, answer.finish_reason, answer.error, answer.score,
                                      options.sampling.top_logprobs >= 0
                                          ? nb::object(logprobs_of(self.model.tokenizer(), answer))
                                          : nb::object(nb::list())));
    }
    results.append(of_prompt);
  }
  return results;
}

}  // namespace

void bind_generation(nb::module_& m) {
  nb::class_<PythonGenerator>(m, "_Generator")
      .def(
          "__init__",
          [](PythonGenerator* self, const std::filesystem::path& model, const std::string& precision, int64_t context,
             const std::filesystem::path& cache, const nb::object& log) {
            const Settings settings = python_settings(cache, log);
            const nb::gil_scoped_release release;
            new (self) PythonGenerator{
                .model = TextModel({.model = model, .precision = precision, .prefers_int8 = true, .context = context},
                                   settings),
                .settings = settings};
          },
          nb::arg("model"), nb::arg("precision"), nb::arg("context"), nb::arg("cache"), nb::arg("log").none())
      .def_prop_ro("precision", [](const PythonGenerator& self) { return std::string(self.model.precision()); })
      .def_prop_ro("context", [](const PythonGenerator& self) { return self.model.context(); })
      .def(
          "generate",
          [](PythonGenerator& self, const nb::list& prompts, const std::vector<std::string>& adapters,
             const std::string& required, int64_t max_new_tokens, double temperature, int64_t top_k, double top_p,
             double min_p, double repetition_penalty, double frequency_penalty, double presence_penalty, uint64_t seed,
             int64_t n, int64_t num_beams, const std::vector<std::string>& stop, bool ignore_eos, int64_t logprobs,
             int64_t batch, const nb::object& on_text) {
            return generate(self, prompts, adapters, required,
                            {.sampling = {.repetition_penalty = repetition_penalty,
                                          .frequency_penalty = frequency_penalty,
                                          .presence_penalty = presence_penalty,
                                          .temperature = temperature,
                                          .top_k = top_k,
                                          .top_p = top_p,
                                          .min_p = min_p,
                                          .seed = seed,
                                          .top_logprobs = logprobs},
                             .search = {.beams = num_beams},
                             .samples = n,
                             .max_new_tokens = max_new_tokens,
                             .stop = stop,
                             .ignore_eos = ignore_eos,
                             .batch = batch},
                            on_text);
          },
          nb::arg("prompts"), nb::arg("adapters"), nb::arg("required"), nb::kw_only(), nb::arg("max_new_tokens"),
          nb::arg("temperature"), nb::arg("top_k"), nb::arg("top_p"), nb::arg("min_p"), nb::arg("repetition_penalty"),
          nb::arg("frequency_penalty"), nb::arg("presence_penalty"), nb::arg("seed"), nb::arg("n"),
          nb::arg("num_beams"), nb::arg("stop"), nb::arg("ignore_eos"), nb::arg("logprobs"), nb::arg("batch"),
          nb::arg("on_text").none());
}

}  // namespace loraxs
