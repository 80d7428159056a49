// data/language.h: prompts, conversations and texts as tokens of which some count in the loss.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/encoded.h"
#include "data/task.h"
#include "data/text_encoder.h"
#include "text/chat_template.h"

namespace loraxs {

/// Examples of one split as token ids and targets. `chat_template` may be null where no example is a conversation.
///
/// Which tokens count is decided by length, never by id: those of the answer and the EOS behind it. A prompt and its
/// answer are tokenised as one text; where the prompt alone gives other ids, every token from the first difference on
/// counts. A conversation is rendered by the template, which writes its own BOS, so none is added; its answers are what
/// the template marks with {% generation %}, else what it wrote of them (data/answer_spans.h) up to and with the first
/// special token behind, which ends the turn, or all that it wrote for the turn if there is none. Turns behind the last
/// answer are left out, and so are answers that a record asks not to learn.
///
/// Longer examples lose their end at `max_length` tokens; EOS is appended where room is left. An example without any
/// target left is dropped and counted. Throws Error with file and line for a conversation that the template refuses.
/// Texts (Task::windows) stand end to end, cut every `max_length` tokens; a `stride` below it lets windows begin every
/// `stride` tokens, and only what no window before had counts.
EncodedExamples encode_language(const TextEncoder& encoder, const Task& task, const std::vector<Example>& examples,
                                int64_t max_length, const ChatTemplate* chat_template, int64_t stride = 0);

/// What an example asks of a model that answers by itself: `asked` or `first`, or the conversation up to the last
/// answer. `as_trained`: `first` in any case.
std::vector<int32_t> encode_question(const TextEncoder& encoder, const Example& example, bool as_trained,
                                     const ChatTemplate* chat_template);
/// A conversation up to where its next answer begins: a last turn that is an answer is left out.
std::vector<int32_t> encode_prompt(const TextEncoder& encoder, const Example& example,
                                   const ChatTemplate* chat_template);
/// The answer that a record gives: its text, or the last answer of its conversation.
std::string answer_of(const Example& example);
/// The same example with another answer.
Example with_answer(const Example& example, const std::string& answer);

}  // namespace loraxs
