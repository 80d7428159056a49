#include "cli/subcommands/chat.h"

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "api/adapters.h"
#include "api/text_model.h"
#include "commands/interrupt.h"
#include "commands/session.h"
#include "generate/conversation.h"
#include "generate/text_stream.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/seeds.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

constexpr const char* kHelp =
    "/adapter FILE            answer with this adapter; sums work too: /adapter 0.5*a.safetensors + 0.5*b.safetensors\n"
    "/adapter none            answer with the base model; what was said before stays, until /reset\n"
    "/system TEXT             set the system turn (no text: take it away)\n"
    "/reset                   forget the conversation\n"
    "/save FILE               write the conversation as a line of JSON with \"messages\"\n"
    "/help                    this list\n"
    "/quit, /exit             leave (Ctrl-D too); Ctrl-C stops an answer\n";

class ChatSession {
 public:
  ChatSession(const ConversationOptions& options, const CommonOptions& common)
      : options_(options),
        common_(common),
        settings_(settings_of(common)),
        sampling_(sampling_of(options.text)),
        model_(text_model_of(options.text, /*prefers_int8=*/true), settings_) {
    check_typed(options.text.system, "--system");
    conversation_.set_system(options.text.system);
    use_adapter(options.text.adapter.adapter);
    model_.encode(question(options.text.system, "?"));  // no template: say so before the first question
  }

  /// Whether every line was done; a person has seen what was not.
  bool run() {
    const Interrupt interrupt({SIGINT}, /*ends_waits=*/true);
    const bool person = isatty(STDIN_FILENO) != 0;
    if (person && !common_.quiet) std::cerr << "/help lists the commands.\n";
    InputLines input;
    bool failed = false;
    for (std::string line;;) {
      if (person) std::cout << "> " << std::flush;
      switch (input.next(line)) {
        case InputLines::Event::kEnd:
          if (person) std::cout << '\n';
          return person || !failed;
        case InputLines::Event::kInterrupted:
          std::cout << '\n';
          std::cerr << "/quit or Ctrl-D leaves.\n";
          continue;
        case InputLines::Event::kLine:
          break;
      }
      if (line.ends_with('\r')) line.pop_back();
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      try {
        check_typed(line, "this line");
        if (line.starts_with('/')) {
          if (!command(line)) return person || !failed;
        } else {
          answer(line);
        }
      } catch (const Error& error) {  // a mistake in one line does not end the conversation
        std::cerr << "loraxs: " << error.what() << '\n';
        failed = true;
      }
    }
  }

 private:
  void confirm(const std::string& what) const {
    if (!common_.quiet) std::cerr << printable(what) << '\n';
  }

  /// Says what is used now.
  std::string use_adapter(const std::string& name) {
    std::string used = "adapter: none, the base model answers";
    if (name.empty() || name == "none") {
      model_.use(nullptr, {});
      slot_ = kNoSlot;
      adapter_.clear();
    } else {
      const OpenedAdapters opened =
          open_adapters(model_.base(), {name}, open_options_of(options_.text.adapter), settings_);
      for (const AdapterFile& file : opened.files) warn_on_drift(file, settings_.log);
      const Layout& layout = *opened.banks.front()->layout;
      used = concat("adapter: ", name, " (", layout.method, ", rank ", layout.largest_rank(), ", ", layout.sites.size(),
                    " sites)");
      model_.use(opened.basis, opened.set());
      slot_ = 0;
      adapter_ = name;
    }
    scheduler_ = &model_.scheduler(/*sequences=*/1);
    return used;
  }

  /// False when the user wants to leave.
  bool command(const std::string& line) {
    const size_t blank = line.find(' ');
    const std::string name = line.substr(0, blank);
    const size_t begin = blank == std::string::npos ? blank : line.find_first_not_of(' ', blank);
    const std::string argument = begin == std::string::npos ? "" : line.substr(begin);
    if (name == "/quit" || name == "/exit") return false;
    if (name == "/help") {
      std::cerr << kHelp;
    } else if (name == "/reset") {
      conversation_.reset();
    } else if (name == "/system") {
      conversation_.set_system(argument);
      confirm(argument.empty() ? "no system turn" : "system turn: " + argument);
    } else if (name == "/adapter") {
      confirm(use_adapter(argument));
    } else if (name == "/save") {
      save(argument);
    } else {
      throw Error(concat(name, ": unknown command; /help lists them"));
    }
    return true;
  }

  /// What this chat has saved, it may save again further on.
  void save(const std::string& path) {
    if (path.empty()) throw Error("/save: expected a file name, found none");
    nlohmann::ordered_json messages = nlohmann::ordered_json::array();
    for (const ChatTurn& turn : conversation_.turns())
      messages.push_back({{"role", turn.role}, {"content", turn.content}});
    write_file_atomically(path, nlohmann::ordered_json{{"messages", messages}}.dump() + "\n",
                          saved_.contains(path) ? Existing::kReplaced : Existing::kRefused);
    saved_.insert(path);
  }

  /// Throws Error where there is no answer; the turn is then taken back.
  void answer(const std::string& text) {
    conversation_.add_user(text);
    try {
      conversation_.add_assistant(generate(text));
    } catch (const Error&) {
      conversation_.drop_last();
      throw;
    }
  }

  /// Streams the answer to the conversation as it stands, `text` its last turn; with --json a line of it all.
  std::string generate(const std::string& text) {
    // A scheduler has one adapter: what was said before was computed with it.
    GenerationRequest request{.name = "chat", .slot = slot_, .sampling = sampling_, .prefix_key = "chat"};
    request.sampling.seed = mix_seed(options_.text.seed, answers_++);  // another draw for the same question later
    request.max_new_tokens = options_.text.max_new_tokens;
    TextStream stream(model_.tokenizer(), options_.text.stop);
    std::string answer, failure;
    int64_t tokens = 0;
    const auto show = [&](const std::string& piece) {
      answer += piece;
      if (!common_.json) std::cout << piece << std::flush;
    };
    request.on_token = [&](int64_t, const SampledToken& token) {
      ++tokens;
      show(stream.push(token.id));
      return !stream.stopped();
    };
    FinishReason reason = FinishReason::kStop;
    request.on_finish = [&](int64_t, FinishReason why, const std::string& error) {
      reason = why;
      failure = error;
    };
    // An eighth of the context at least is left for the answer.
    request.prompt =
        conversation_.prompt([&](const std::vector<ChatTurn>& turns) { return model_.encode(turns); },
                             model_.context() - std::min(options_.text.max_new_tokens, (model_.context() + 7) / 8));
    Interrupt::taken();
    const StepTimes before = model_.times();
    const auto start = std::chrono::steady_clock::now();
    const int64_t id = scheduler_->submit(std::move(request));
    while (scheduler_->step()) {
      if (Interrupt::taken()) scheduler_->cancel(id);
    }
    if (failure.empty()) show(stream.finish());
    if (common_.json) {
      nlohmann::ordered_json line = {
          {"prompt", text},
          {"text", answer},
          {"tokens", tokens},
          {"finish_reason", finish_reason_name(failure.empty() ? reason : FinishReason::kError)}};
      if (!failure.empty()) line["error"] = failure;
      if (!adapter_.empty()) line["adapter"] = adapter_;
      std::cout << json_text(line);
    }
    std::cout << '\n' << std::flush;
    if (!failure.empty()) throw Error(failure);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!common_.quiet) {
      char rate[64];
      std::snprintf(rate, sizeof rate, "tokens=%ld seconds=%.2f tokens_per_second=%.1f", static_cast<long>(tokens),
                    seconds, static_cast<double>(tokens) / seconds);
      std::cerr << rate << ' ' << model_.times().since(before) << '\n';
    }
    return answer;
  }

  const ConversationOptions& options_;
  const CommonOptions& common_;
  Settings settings_;
  SamplingOptions sampling_;
  TextModel model_;
  Conversation conversation_;
  Scheduler* scheduler_ = nullptr;  // model_'s
  int64_t slot_ = kNoSlot;
  std::string adapter_;  // its name; empty: none
  uint64_t answers_ = 0;
  std::set<std::string> saved_;  // files that /save wrote
};

}  // namespace

int run(const ConversationOptions& options, const CommonOptions& common) {
  return ChatSession(options, common).run() ? 0 : 2;
}

}  // namespace loraxs
