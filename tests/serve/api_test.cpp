// The API's routes on an engine that answers by hand: what each gives, refuses, cancels and logs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "io/base64.h"
#include "io/json.h"
#include "support/fake_serving.h"

namespace loraxs {
namespace {

using nlohmann::json;
using test::FakeExchange;
using test::FakeServer;
using testing::ElementsAre;
using testing::HasSubstr;

class ApiTest : public testing::Test {
 protected:
  /// The reply, once the engine has run.
  json answered(const std::string& path, const std::string& body, int status = 200, const std::string& key = "anna") {
    const auto exchange = server_.send("POST", path, body, key);
    server_.engine.run();
    return reply_of(*exchange, status);
  }
  static json reply_of(const FakeExchange& exchange, int status = 200) {
    EXPECT_EQ(exchange.replies.size(), 1U);
    EXPECT_EQ(exchange.begun, 0);
    if (exchange.replies.empty()) return nullptr;
    EXPECT_EQ(exchange.replies[0].status, status) << exchange.replies[0].body;
    return json_or_null(exchange.replies[0].body);
  }
  json got(const std::string& path, int status = 200, const std::string& key = "anna") {
    return reply_of(*server_.send("GET", path, "", key), status);
  }
  /// The data of a stream's events, without [DONE], which has to be the last one.
  static std::vector<json> chunks_of(const FakeExchange& exchange, bool done_mark = true) {
    EXPECT_EQ(exchange.begun, 1);
    EXPECT_EQ(exchange.ended, 1);
    EXPECT_TRUE(exchange.replies.empty());
    std::vector<json> chunks;
    for (const test::SentEvent& event : exchange.events) {
      if (event.data != "[DONE]") chunks.push_back(json_or_null(event.data));
    }
    if (done_mark && !exchange.events.empty()) {
      EXPECT_EQ(exchange.events.back().data, "[DONE]");
    }
    return chunks;
  }
  std::shared_ptr<FakeExchange> streamed(const std::string& path, const std::string& body) {
    auto exchange = server_.send("POST", path, body);
    server_.engine.run();
    return exchange;
  }

  FakeServer server_;
};

const char* const kChat = R"({"model": "anna/support", "messages": [{"role": "user", "content": "hi"}])";
std::string chat_with(const std::string& more) { return kChat + (more.empty() ? "" : ", " + more) + "}"; }

TEST_F(ApiTest, ModelsArePagedAndTenantsSeeTheirOwn) {
  const json all = got("/v1/models");
  ASSERT_EQ(all["data"].size(), 3U);
  EXPECT_EQ(all["data"][0]["id"], "anna/support");
  EXPECT_EQ(all["data"][0]["parent"], "tiny");
  EXPECT_EQ(all["data"][0]["root"], "anna/support@3");
  EXPECT_EQ(all["data"][0]["owned_by"], "anna");
  EXPECT_EQ(all["data"][2]["parent"], nullptr);
  EXPECT_FALSE(all["has_more"]);
  HttpRequest page{.method = "GET", .path = "/v1/models", .query = {{"limit", "1"}, {"after", "anna/support"}}};
  page.headers["authorization"] = "Bearer anna";
  const json second = reply_of(*server_.send(page));
  EXPECT_EQ(second["data"][0]["id"], "anna/topic");
  EXPECT_TRUE(second["has_more"]);
  EXPECT_EQ(second["last_id"], "anna/topic");
  for (const char* limit : {"0", "1001", "-1", "x", "", "99999999999999999999"}) {
    page.query["limit"] = limit;
    EXPECT_EQ(reply_of(*server_.send(page), 400)["error"]["param"], "limit");
  }
  EXPECT_EQ(got("/v1/models", 200, "root")["data"].size(), 4U);
}

TEST_F(ApiTest, AnotherTenantsModelIsLikeNone) {
  for (const char* path : {"/v1/models/bob/secret", "/v1/models/bob/nobody"}) got(path, 404);
  const auto same = [&](const std::string& method, const std::string& path, const std::string& body) {
    const auto other = server_.send(method, path, body)->replies.at(0);
    std::string absent_path = path, absent_body = body;
    for (std::string* text : {&absent_path, &absent_body}) {
      if (const size_t at = text->find("secret"); at != std::string::npos) text->replace(at, 6, "absent");
    }
    auto none = server_.send(method, absent_path, absent_body)->replies.at(0);
    for (size_t at = 0; (at = none.body.find("absent", at)) != std::string::npos;) none.body.replace(at, 6, "secret");
    EXPECT_EQ(other.status, 404);
    EXPECT_EQ(other.status, none.status);
    EXPECT_EQ(other.body, none.body);
  };
  same("GET", "/v1/models/bob/secret", "");
  same("DELETE", "/v1/models/bob/secret", "");
  same("POST", "/v1/chat/completions", R"({"model": "bob/secret", "messages": [{"role": "user", "content": "hi"}]})");
  same("POST", "/v1/completions", R"({"model": "bob/secret", "prompt": "hi"})");
  same("POST", "/v1/responses", R"({"model": "bob/secret", "input": "hi"})");
  same("POST", "/v1/load_lora_adapter", R"({"lora_name": "bob/secret"})");
  same("POST", "/tokenize", R"({"model": "bob/secret", "prompt": "hi"})");
  EXPECT_TRUE(server_.engine.calls.empty());
}

TEST_F(ApiTest, DeletesAndPinsAdapters) {
  const json deleted = reply_of(*server_.send("DELETE", "/v1/models/anna/support"));
  EXPECT_EQ(deleted["deleted"], true);
  EXPECT_EQ(reply_of(*server_.send("DELETE", "/v1/models/base"), 409)["error"]["param"], "model");
  const auto loaded =
      server_.send("POST", "/v1/load_lora_adapter", R"({"lora_name": "anna/topic", "lora_path": "anna/topic"})");
  EXPECT_EQ(loaded->replies.at(0).body, "Success: LoRA adapter 'anna/topic' added successfully.");
  EXPECT_EQ(server_.send("POST", "/v1/unload_lora_adapter", R"({"lora_name": "anna/topic"})")->replies.at(0).status,
            200);
  EXPECT_THAT(server_.engine.calls, ElementsAre("remove anna/support", "pin anna/topic", "unpin anna/topic"));
  const json path =
      answered("/v1/load_lora_adapter", R"({"lora_name": "anna/topic", "lora_path": "/etc/passwd"})", 400);
  EXPECT_EQ(path["error"]["param"], "lora_path");
}

TEST_F(ApiTest, ChatAnswers) {
  const json reply = answered("/v1/chat/completions", chat_with(R"("temperature": 0, "max_tokens": 9)"));
  EXPECT_EQ(reply["object"], "chat.completion");
  EXPECT_EQ(reply["model"], "anna/support@3");
  EXPECT_EQ(reply["choices"][0]["message"]["content"], "Hello");
  EXPECT_EQ(reply["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(reply["choices"][0]["logprobs"], nullptr);
  EXPECT_EQ(reply["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(reply["usage"]["completion_tokens"], 2);
  EXPECT_EQ(reply["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
  EXPECT_EQ(server_.gate.open, 0);
  EXPECT_EQ(server_.gate.used, 5);
  EXPECT_EQ(server_.gate.asked, 12);
  EXPECT_EQ(server_.gate.adapters, std::set<std::string>{"00ff"});
  ASSERT_EQ(server_.log.size(), 1U);
  EXPECT_EQ(server_.log[0]["tenant"], "anna");
  EXPECT_EQ(server_.log[0]["peer"], "203.0.113.7");
  EXPECT_EQ(reply["id"], "chatcmpl-" + server_.log[0]["id"].get<std::string>());
  EXPECT_EQ(server_.log[0]["request"], "its-id");
  EXPECT_EQ(server_.log[0]["route"], "/v1/chat/completions");
  EXPECT_EQ(server_.log[0]["answer_tokens"], 2);
  EXPECT_GE(server_.log[0]["first_token_ms"], 0);
  EXPECT_THAT(json_text(server_.log[0]), testing::Not(HasSubstr("Hello")));
}

TEST_F(ApiTest, ChatTakesPartsAndRoles) {
  answered("/v1/chat/completions", R"({"model": "base", "messages": [
    {"role": "developer", "content": "be short"}, {"role": "assistant", "content": "yes", "refusal": null, "tool_calls": null},
    {"role": "user", "name": "Ann", "type": "text",
     "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]})");
  EXPECT_EQ(server_.engine.conversation,
            nlohmann::ordered_json::array({{{"role", "system"}, {"content", "be short"}},
                                           {{"role", "assistant"}, {"content", "yes"}},
                                           {{"role", "user"}, {"content", "ab"}, {"name", "Ann"}}}));
}

TEST_F(ApiTest, ChatSettingsReachTheEngine) {
  const auto sent =
      server_.send("POST", "/v1/chat/completions",
                   chat_with(R"("temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.5,
                            "presence_penalty": 1, "frequency_penalty": -1.5, "logit_bias": {"7": -100},
                            "seed": -3, "stop": ["a", "b"], "n": 3, "max_completion_tokens": 11, "ignore_eos": true,
                            "user": "u", "metadata": {"a": "b"}, "store": false, "tools": [], "tool_choice": "none",
                            "response_format": {"type": "text"}, "parallel_tool_calls": true, "stream_options": null)"));
  ASSERT_EQ(server_.engine.queued.size(), 1U) << sent->replies.at(0).body;
  const AnswerRequest& request = server_.engine.queued[0];
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.sampling.min_p, 0.1);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.5);
  EXPECT_EQ(request.sampling.presence_penalty, 1);
  EXPECT_EQ(request.sampling.frequency_penalty, -1.5);
  EXPECT_EQ(request.sampling.logit_bias, (std::map<int32_t, float>{{7, -100.0F}}));
  EXPECT_EQ(request.sampling.seed, static_cast<uint64_t>(-3));
  EXPECT_THAT(request.stop, ElementsAre("a", "b"));
  EXPECT_EQ(request.samples, 3);
  EXPECT_EQ(request.max_new_tokens, 11);
  EXPECT_TRUE(request.ignore_eos);
  EXPECT_EQ(request.caller.tenant, "anna");
  server_.send("POST", "/v1/chat/completions", chat_with(R"("top_p": 0.5, "temperature": 0)"));
  EXPECT_NO_THROW(server_.engine.queued[1].sampling.check("greedy"));
  server_.send("POST", "/v1/chat/completions", chat_with(""));
  server_.send("POST", "/v1/chat/completions", chat_with(""));
  EXPECT_EQ(server_.engine.queued[2].sampling.temperature, 1);
  EXPECT_EQ(server_.engine.queued[2].max_new_tokens, 0);
  EXPECT_NE(server_.engine.queued[2].sampling.seed, server_.engine.queued[3].sampling.seed);
}

TEST_F(ApiTest, ChatStreams) {
  const auto exchange = streamed("/v1/chat/completions",
                                 chat_with(R"("stream": true, "n": 2, "stream_options": {"include_usage": true})"));
  const std::vector<json> chunks = chunks_of(*exchange);
  ASSERT_EQ(chunks.size(), 2U + 4U + 2U + 1U);
  std::vector<std::string> texts(2);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(chunks[i]["object"], "chat.completion.chunk");
    EXPECT_EQ(chunks[i]["usage"], nullptr);
    const json& choice = chunks[i]["choices"][0];
    if (i < 2) {
      EXPECT_EQ(choice["delta"]["role"], "assistant");
    }
    if (choice["delta"].contains("content"))
      texts[choice["index"].get<size_t>()] += choice["delta"]["content"].get<std::string>();
    EXPECT_EQ(choice["finish_reason"], i < 6 ? json() : json("stop"));
  }
  EXPECT_THAT(texts, ElementsAre("Hello", "Hello"));
  EXPECT_TRUE(chunks[8]["choices"].empty());
  EXPECT_EQ(chunks[8]["usage"]["completion_tokens"], 4);
  EXPECT_EQ(chunks[8]["usage"]["prompt_tokens"], 3);
}

TEST_F(ApiTest, AnswersBeforeTheyAreAwaitedKeepTheirOrder) {
  server_.engine.at_once = true;
  const auto exchange = server_.send("POST", "/v1/chat/completions", chat_with(R"("stream": true)"));
  const std::vector<json> chunks = chunks_of(*exchange);
  ASSERT_EQ(chunks.size(), 4U);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(chunks[1]["choices"][0]["delta"]["content"], "Hel");
}

TEST_F(ApiTest, ChatLogprobs) {
  const json reply = answered("/v1/chat/completions", chat_with(R"("logprobs": true, "top_logprobs": 2)"));
  const json& content = reply["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2U);
  EXPECT_EQ(content[0]["token"], "Hel");
  EXPECT_EQ(content[0]["logprob"], -0.5);
  EXPECT_EQ(content[0]["bytes"], json::array({72, 101, 108}));
  EXPECT_EQ(content[0]["top_logprobs"][1]["token"], "bytes:\\xe2\\x80");
  EXPECT_EQ(content[0]["top_logprobs"][1]["bytes"], json::array({0xE2, 0x80}));
  const auto exchange = streamed("/v1/chat/completions", chat_with(R"("logprobs": true, "stream": true)"));
  EXPECT_EQ(chunks_of(*exchange)[1]["choices"][0]["logprobs"]["content"][0]["token"], "Hel");
}

TEST_F(ApiTest, CompletionsOfTextsAndTokens) {
  const json one = answered("/v1/completions", R"({"model": "base", "prompt": "ab", "n": 2})");
  EXPECT_EQ(one["object"], "text_completion");
  ASSERT_EQ(one["choices"].size(), 2U);
  EXPECT_EQ(one["choices"][1]["text"], "Hello");
  EXPECT_EQ(one["usage"]["prompt_tokens"], 3);
  const json many =
      answered("/v1/completions", R"({"model": "base", "prompt": [[97, 98], [99]], "n": 2, "echo": true})");
  ASSERT_EQ(many["choices"].size(), 4U);
  EXPECT_EQ(many["choices"][1]["text"], "abHello");
  EXPECT_EQ(many["choices"][2]["text"], "cHello");
  EXPECT_EQ(many["choices"][2]["index"], 2);
  EXPECT_EQ(many["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(many["usage"]["completion_tokens"], 8);
  EXPECT_EQ(answered("/v1/completions", R"({"model": "base", "prompt": [97, 98]})")["choices"].size(), 1U);
  EXPECT_EQ(answered("/v1/completions", R"({"model": "base", "prompt": ["ab", "c"]})")["choices"].size(), 2U);
}

TEST_F(ApiTest, CompletionsEchoWithLogprobs) {
  const std::string body = R"({"model": "base", "prompt": [97, 98], "echo": true, "logprobs": 1, "max_tokens": )";
  const json reply = answered("/v1/completions", body + "1}");
  EXPECT_EQ(reply["choices"][0]["text"], "abHello");
  const json& logprobs = reply["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], json::array({"a", "b", "Hel", "lo"}));
  EXPECT_EQ(logprobs["token_logprobs"], json::array({nullptr, -0.5, -0.5, -0.5}));
  EXPECT_EQ(logprobs["text_offset"], json::array({0, 1, 2, 5}));
  EXPECT_EQ(logprobs["top_logprobs"][0], nullptr);
  EXPECT_EQ(logprobs["top_logprobs"][1]["b"], -0.5);
  const json none = answered("/v1/completions", body + "0}");
  EXPECT_EQ(none["choices"][0]["text"], "ab");
  EXPECT_EQ(none["choices"][0]["logprobs"]["tokens"], json::array({"a", "b"}));
  EXPECT_EQ(none["usage"]["completion_tokens"], 0);
  const std::vector<json> chunks = chunks_of(*streamed("/v1/completions", body + "3, \"stream\": true}"));
  ASSERT_EQ(chunks.size(), 4U);
  EXPECT_EQ(chunks[0]["choices"][0]["text"], "ab");
  EXPECT_EQ(chunks[0]["choices"][0]["logprobs"]["tokens"].size(), 2U);
  EXPECT_EQ(chunks[1]["choices"][0]["logprobs"]["text_offset"], json::array({2}));
  EXPECT_EQ(chunks[3]["choices"][0]["finish_reason"], "stop");
}

TEST_F(ApiTest, ResponsesAnswerAndStream) {
  server_.engine.reason = FinishReason::kLength;
  const json reply = answered("/v1/responses", R"({"model": "base", "instructions": "be kind", "max_output_tokens": 2,
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]})");
  EXPECT_EQ(reply["object"], "response");
  EXPECT_EQ(reply["status"], "incomplete");
  EXPECT_EQ(reply["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(reply["output"][0]["content"][0]["text"], "Hello");
  EXPECT_EQ(reply["usage"]["input_tokens_details"]["cached_tokens"], 1);
  EXPECT_EQ(server_.engine.conversation[0]["content"], "be kind");
  server_.engine.reason = FinishReason::kStop;
  const auto exchange = streamed("/v1/responses", R"({"model": "base", "input": "hi", "stream": true})");
  std::vector<std::string> names;
  for (const json& chunk : chunks_of(*exchange, /*done_mark=*/false)) {
    EXPECT_EQ(chunk["sequence_number"], names.size());
    names.push_back(chunk["type"]);
    EXPECT_EQ(names.back(), exchange->events[names.size() - 1].name);
  }
  EXPECT_THAT(names, ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                                 "response.content_part.added", "response.output_text.delta",
                                 "response.output_text.delta", "response.output_text.done",
                                 "response.content_part.done", "response.output_item.done", "response.completed"));
  EXPECT_EQ(json_or_null(exchange->events.back().data)["response"]["output"][0]["content"][0]["text"], "Hello");
}

TEST_F(ApiTest, EmbeddingsAndClasses) {
  server_.engine.decoder = false;
  const json vectors = answered("/v1/embeddings", R"({"model": "base", "input": ["ab", "c"], "dimensions": 2})");
  EXPECT_EQ(vectors["data"][1]["embedding"], json::array({0.25, 0.75}));
  EXPECT_EQ(vectors["usage"]["prompt_tokens"], 5);
  const json packed = answered("/v1/embeddings", R"({"model": "base", "input": [97], "encoding_format": "base64"})");
  EXPECT_EQ(packed["data"][0]["embedding"], "AACAPgAAQD8=");
  EXPECT_EQ(answered("/v1/embeddings", R"({"model": "base", "input": "a", "dimensions": 3})", 400)["error"]["param"],
            "dimensions");

  const json classes = answered("/v1/classify", R"({"model": "anna/topic", "input": ["ab", "c"]})");
  EXPECT_EQ(classes["data"][1]["index"], 1);
  EXPECT_EQ(classes["data"][1]["label"], "good");
  EXPECT_EQ(classes["data"][1]["probs"], json::array({0.25, 0.75}));
  EXPECT_EQ(classes["data"][1]["num_classes"], 2);
  const json many = answered("/v1/classify", R"({"model": ["anna/topic", "anna/topic"], "input": "ab"})");
  EXPECT_EQ(many["data"].size(), 2U);
  EXPECT_EQ(many["data"][1]["model"], "anna/topic@1");
  EXPECT_EQ(many["model"].size(), 2U);
  EXPECT_EQ(many["usage"]["prompt_tokens"], 6);
  const json own =
      answered("/v1/classify", R"({"model": "base", "input": "a", "adapter": ")" + encode_base64("file") + "\"}");
  EXPECT_EQ(own["data"][0]["label"], "yes");
  EXPECT_EQ(server_.engine.adopted, "file");
  EXPECT_EQ(answered("/v1/classify", R"({"model": "anna/support", "input": "a"})", 400)["error"]["param"], "model");
  EXPECT_EQ(answered("/v1/classify", R"({"model": ["anna/topic", "base"], "input": "a"})", 400)["error"]["param"],
            "model[1]");
  server_.engine.error = "anna/topic: it fell over";
  EXPECT_EQ(answered("/v1/classify", R"({"model": "anna/topic", "input": "a"})", 500)["error"]["type"], "server_error");
  EXPECT_EQ(server_.gate.open, 0);
}

TEST_F(ApiTest, TokensAndBack) {
  const json tokens = answered("/tokenize", R"({"model": "base", "prompt": "ab", "return_token_strs": true})");
  EXPECT_EQ(tokens,
            json({{"count", 3}, {"max_model_len", 64}, {"tokens", {256, 97, 98}}, {"token_strs", {"", "a", "b"}}}));
  EXPECT_EQ(answered("/tokenize", R"({"messages": [{"role": "user", "content": "a"}]})")["count"], 2);
  EXPECT_EQ(answered("/detokenize", R"({"tokens": [97, 98]})")["prompt"], "ab");
  EXPECT_EQ(answered("/detokenize", R"({"tokens": [300]})", 400)["error"]["param"], "tokens");
}

TEST_F(ApiTest, Status) {
  EXPECT_EQ(got("/health", 200, "")["status"], "ok");
  EXPECT_EQ(got("/ready", 200, "")["status"], "ready");
  server_.engine.ready = false;
  EXPECT_EQ(got("/ready", 503, "")["error"]["code"], "not_ready");
  EXPECT_FALSE(got("/v1/state").contains("load"));
  EXPECT_EQ(got("/v1/state", 200, "root")["load"]["running"], 2);
  got("/metrics", 403);
  got("/metrics", 401, "");
  EXPECT_EQ(server_.send("GET", "/metrics", "", "root")->replies.at(0).body, "loraxs_steps 3\n");
}

TEST_F(ApiTest, UnknownRoutesAndMethods) {
  const json near = answered("/v1/chat/completion", "{}", 404);
  EXPECT_THAT(near["error"]["message"], HasSubstr("/v1/chat/completions"));
  const auto wrong = server_.send("PUT", "/v1/models/anna/support");
  EXPECT_EQ(wrong->replies.at(0).status, 405);
  EXPECT_THAT(wrong->replies.at(0).headers, testing::Contains(testing::Pair("Allow", "GET, DELETE")));
  got("/v1/models/", 404);
}

TEST_F(ApiTest, ThePageIsServedOnce) {
  const auto first = server_.send("GET", "/", "", "")->replies.at(0);
  EXPECT_EQ(first.content_type, "text/html; charset=utf-8");
  EXPECT_FALSE(first.body.empty());
  HttpRequest again{.method = "GET", .path = "/"};
  for (const auto& [name, value] : first.headers) {
    if (name == "ETag") again.headers["if-none-match"] = value;
  }
  EXPECT_EQ(server_.send(again)->replies.at(0).status, 304);
  for (const auto& [path, type] :
       {std::pair{"/app.js", "text/javascript; charset=utf-8"}, {"/style.css", "text/css; charset=utf-8"}}) {
    EXPECT_EQ(server_.send("GET", path, "", "")->replies.at(0).content_type, type);
  }
}

TEST_F(ApiTest, WithoutAKeyNothingIsAnswered) {
  const json refused = answered("/v1/chat/completions", chat_with(""), 401, "");
  EXPECT_EQ(refused["error"]["code"], "invalid_api_key");
  EXPECT_TRUE(server_.engine.queued.empty());
  server_.gate.full = true;
  const auto full = server_.send("POST", "/v1/chat/completions", chat_with(""));
  EXPECT_EQ(reply_of(*full, 429)["error"]["type"], "rate_limit_error");
  EXPECT_THAT(full->replies[0].headers, testing::Contains(testing::Pair("Retry-After", "7")));
}

TEST_F(ApiTest, AClientThatGoesCancels) {
  for (const char* stream : {"true", "false"}) {
    server_.engine.cancelled.clear();
    const auto exchange = server_.send("POST", "/v1/completions",
                                       concat(R"({"model": "base", "prompt": ["ab", "c"], "stream": )", stream, "}"));
    EXPECT_EQ(server_.gate.open, 1);
    exchange->leave();
    EXPECT_EQ(server_.engine.cancelled.size(), 2U);
    EXPECT_TRUE(server_.engine.queued.empty());
    EXPECT_EQ(server_.gate.open, 0);
    EXPECT_EQ(server_.log.back()["status"], 499);
    EXPECT_EQ(exchange.use_count(), 1);
  }
  const auto gone = std::make_shared<FakeExchange>(HttpRequest{.method = "POST",
                                                               .path = "/v1/chat/completions",
                                                               .headers = {{"authorization", "Bearer anna"}},
                                                               .body = chat_with("")});
  gone->already_gone = true;
  server_.handler(gone);
  EXPECT_EQ(server_.gate.open, 0);
  EXPECT_TRUE(server_.engine.queued.empty());
}

TEST_F(ApiTest, AFullQueueCancelsWhatWasQueued) {
  server_.engine.refuse_after = 1;
  const auto exchange =
      server_.send("POST", "/v1/completions", R"({"model": "base", "prompt": ["ab", "c"], "stream": true})");
  EXPECT_EQ(reply_of(*exchange, 429)["error"]["code"], "queue_full");
  EXPECT_EQ(server_.engine.cancelled.size(), 1U);
  EXPECT_TRUE(server_.engine.queued.empty());
  EXPECT_EQ(server_.gate.open, 0);
}

TEST_F(ApiTest, AFailureEndsTheStream) {
  server_.engine.reason = FinishReason::kError;
  server_.engine.error = "cmpl: token 2: expected finite logits, found NaN";
  EXPECT_EQ(answered("/v1/chat/completions", chat_with(""), 500)["error"]["type"], "server_error");
  const auto exchange = streamed("/v1/chat/completions", chat_with(R"("stream": true, "n": 2)"));
  EXPECT_EQ(exchange->ended, 1);
  EXPECT_THAT(json_or_null(exchange->events.back().data)["error"]["message"], HasSubstr("finite logits"));
  const auto response = streamed("/v1/responses", R"({"model": "base", "input": "hi", "stream": true})");
  EXPECT_EQ(response->events[response->events.size() - 2].name, "response.failed");
  EXPECT_EQ(server_.gate.open, 0);
  server_.engine.reason = FinishReason::kCancelled;
  server_.engine.error.clear();
  EXPECT_EQ(answered("/v1/chat/completions", chat_with(""), 503)["error"]["type"], "server_error");
}

TEST_F(ApiTest, KindsOfBases) {
  EXPECT_THAT(answered("/v1/classify", R"({"model": "base", "input": "a"})", 400)["error"]["message"],
              HasSubstr("decoder"));
  server_.engine.decoder = false;
  EXPECT_THAT(answered("/v1/chat/completions", chat_with(""), 400)["error"]["message"], HasSubstr("encoder"));
}

struct BadBody {
  const char* path;
  const char* body;
  const char* param;    // null: none
  const char* message;  // within it
};
class BadBodyTest : public ApiTest, public testing::WithParamInterface<BadBody> {};

TEST_P(BadBodyTest, IsRefusedWithItsField) {
  const BadBody& bad = GetParam();
  const std::string path = bad.path;
  server_.engine.decoder = path != "/v1/classify" && path != "/v1/embeddings";
  std::string body = bad.body;
  if (body.compare(0, 1, "+") == 0) {
    body = (path == "/v1/chat/completions" ? std::string(kChat)
            : path == "/v1/completions"    ? std::string(R"({"model": "base", "prompt": "a")")
            : path == "/v1/responses"      ? std::string(R"({"model": "base", "input": "a")")
                                           : std::string(R"({"model": "base", "input": "a")")) +
           ", " + body.substr(1) + "}";
  }
  const json error = answered(path, body, 400)["error"];
  EXPECT_EQ(error["param"], bad.param == nullptr ? json() : json(bad.param)) << error;
  EXPECT_THAT(error["message"], HasSubstr(bad.message)) << body;
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_TRUE(server_.engine.queued.empty());
  EXPECT_EQ(server_.gate.open, 0);
}

const char* const kChatPath = "/v1/chat/completions";
const char* const kTextPath = "/v1/completions";
INSTANTIATE_TEST_SUITE_P(
    Bodies, BadBodyTest,
    testing::Values(
        BadBody{kChatPath, "", nullptr, "expected JSON"}, BadBody{kChatPath, "[1]", nullptr, "expected an object"},
        BadBody{kChatPath, "{\"model\": \"\xff\"}", nullptr, "UTF-8"},
        BadBody{kChatPath, "{\"model\": \"a\", \"model\": \"b\"}", nullptr, "model"},
        BadBody{kChatPath, "{\"model\": 1}", "model", "expected text"},
        BadBody{kChatPath, "{\"messages\": []}", "model", "expected a value"},
        BadBody{kChatPath, R"({"model": "", "messages": [{"role": "user", "content": "a"}]})", "model",
                "name of a model"},
        BadBody{kChatPath, R"({"model": "base"})", "messages", "expected a value"},
        BadBody{kChatPath, R"({"model": "base", "messages": []})", "messages", "at least one message"},
        BadBody{kChatPath, R"({"model": "base", "messages": "hi"})", "messages", "at least one message"},
        BadBody{kChatPath, R"({"model": "base", "messages": [1]})", "messages[0]", "expected an object"},
        BadBody{kChatPath, R"({"model": "base", "messages": [{"role": "tool", "content": "a"}]})", "messages[0].role",
                "one of"},
        BadBody{kChatPath, R"({"model": "base", "messages": [{"role": "user"}]})", "messages[0].content",
                "expected a value"},
        BadBody{kChatPath, R"({"model": "base", "messages": [{"role": "user", "content": 3}]})", "messages[0].content",
                "text"},
        BadBody{
            kChatPath,
            R"({"model": "base", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]})",
            "messages[0].content[0].type", "part of text"},
        BadBody{kChatPath,
                R"({"model": "base", "messages": [{"role": "assistant", "content": "a", "tool_calls": [{}]}]})",
                "messages[0].tool_calls", "tools"},
        BadBody{kChatPath, R"({"model": "base", "messages": [{"role": "user", "content": "refuse"}]})", "messages",
                "chat template"},
        BadBody{kChatPath, R"(+"temperature": 2.1)", "temperature", "from 0 to 2"},
        BadBody{kChatPath, R"(+"temperature": "hot")", "temperature", "expected a number"},
        BadBody{kChatPath, R"(+"temperature": -0.1)", "temperature", "from 0 to 2"},
        BadBody{kChatPath, R"(+"top_p": 0)", "top_p", "to 1"},
        BadBody{kChatPath, R"(+"top_k": 1.5)", "top_k", "integer"},
        BadBody{kChatPath, R"(+"min_p": 1)", "min_p", "from 0"}, BadBody{kChatPath, R"(+"n": 9)", "n", "from 1 to 8"},
        BadBody{kChatPath, R"(+"n": 0)", "n", "from 1 to 8"}, BadBody{kChatPath, R"(+"n": true)", "n", "integer"},
        BadBody{kChatPath, R"(+"max_tokens": 0)", "max_tokens", "from 1"},
        BadBody{kChatPath, R"(+"max_tokens": 62)", "max_tokens", "context of 64"},
        BadBody{kChatPath, R"(+"max_tokens": 3, "max_completion_tokens": 4)", "max_tokens", "differ"},
        BadBody{kChatPath, R"(+"seed": 1e30)", "seed", "integer"},
        BadBody{kChatPath, R"(+"seed": 18446744073709551616)", "seed", "integer"},
        BadBody{kChatPath, R"(+"stop": [""])", "stop", "1 to"}, BadBody{kChatPath, R"(+"stop": 3)", "stop", "texts"},
        BadBody{kChatPath, R"(+"stop": ["1","2","3","4","5","6","7","8","9","0","a","b","c","d","e","f","g"])", "stop",
                "16"},
        BadBody{kChatPath, R"(+"stream": "yes")", "stream", "true or false"},
        BadBody{kChatPath, R"(+"stream_options": {"include_usage": 1})", "stream_options.include_usage",
                "true or false"},
        BadBody{kChatPath, R"(+"stream_options": {"x": 1})", "stream_options.x", "unknown"},
        BadBody{kChatPath, R"(+"top_logprobs": 3)", "top_logprobs", "logprobs"},
        BadBody{kChatPath, R"(+"logprobs": true, "top_logprobs": 21)", "top_logprobs", "from 0 to 20"},
        BadBody{kChatPath, R"(+"logit_bias": {"x": 1})", "logit_bias", "id of a token"},
        BadBody{kChatPath, R"(+"logit_bias": {"5": 101})", "logit_bias.5", "-100"},
        BadBody{kChatPath, R"(+"logit_bias": [1])", "logit_bias", "token ids"},
        BadBody{kChatPath, R"(+"presence_penalty": 3)", "presence_penalty", "from -2 to 2"},
        BadBody{kChatPath, R"(+"tools": [{"type": "function"}])", "tools", "not supported"},
        BadBody{kChatPath, R"(+"tool_choice": "auto")", "tool_choice", "not supported"},
        BadBody{kChatPath, R"(+"response_format": {"type": "json_object"})", "response_format", "not supported"},
        BadBody{kChatPath, R"(+"audio": {"voice": "a"})", "audio", "not supported"},
        BadBody{kChatPath, R"(+"functions": [{}])", "functions", "not supported"},
        BadBody{kChatPath, R"(+"store": true)", "store", "nothing is stored"},
        BadBody{kChatPath, R"(+"temprature": 1)", "temprature", "did you mean temperature?"},
        BadBody{kChatPath, R"(+"zzzzzzzzzz": 1)", "zzzzzzzzzz", "unknown field"},
        BadBody{kChatPath, R"(+"adapter": "AAAA")", "adapter", "\"model\": \"base\""},
        BadBody{kTextPath, R"(+"adapter": "A A=")", "adapter", "base64"},
        BadBody{kTextPath, R"(+"adapter": "AAAA")", "adapter", "safetensors"},
        BadBody{kTextPath, R"({"model": "base"})", "prompt", "expected a value"},
        BadBody{kTextPath, R"({"model": "base", "prompt": ""})", "prompt", "empty"},
        BadBody{kTextPath, R"({"model": "base", "prompt": []})", "prompt", "token ids"},
        BadBody{kTextPath, R"({"model": "base", "prompt": [[]]})", "prompt[0]", "token ids"},
        BadBody{kTextPath, R"({"model": "base", "prompt": [1, -1]})", "prompt[1]", "id of a token"},
        BadBody{kTextPath, R"({"model": "base", "prompt": ["a", 1]})", "prompt[1]", "token ids"},
        BadBody{kTextPath,
                R"({"model": "base", "prompt": "1234567890123456789012345678901234567890123456789012345678901234"})",
                "prompt", "context of 64"},
        BadBody{kTextPath, R"(+"max_tokens": 0)", "max_tokens", "echo"},
        BadBody{kTextPath, R"(+"best_of": 2)", "best_of", "not supported"},
        BadBody{kTextPath, R"(+"suffix": "b")", "suffix", "not supported"},
        BadBody{kTextPath, R"(+"logprobs": 21)", "logprobs", "from 0 to 20"},
        BadBody{"/v1/responses", R"(+"store": true)", "store", "nothing is stored"},
        BadBody{"/v1/responses", R"(+"previous_response_id": "resp_1")", "previous_response_id", "not supported"},
        BadBody{"/v1/responses", R"(+"text": {"format": {"type": "json_schema"}})", "text", "not supported"},
        BadBody{"/v1/responses", R"({"model": "base", "input": []})", "input", "at least one"},
        BadBody{"/v1/responses",
                R"({"model": "base", "input": [{"role": "user", "content": [{"type": "input_image"}]}]})",
                "input[0].content[0].type", "part of text"},
        BadBody{"/v1/embeddings", R"(+"encoding_format": "hex")", "encoding_format", "base64"},
        BadBody{"/v1/embeddings", R"({"model": "base", "input": [[1, 2], "a", {}]})", "input[2]", "token ids"},
        BadBody{"/v1/classify", R"({"model": [], "input": "a"})", "model", "1 to 256"},
        BadBody{"/v1/classify", R"({"model": [3], "input": "a"})", "model[0]", "name of a model"},
        BadBody{"/tokenize", "{}", "prompt", "one of prompt and messages"},
        BadBody{"/detokenize", R"({"tokens": []})", "tokens", "token ids"},
        BadBody{"/v1/load_lora_adapter", "{}", "lora_name", "expected a value"}));

TEST_F(ApiTest, DeepAndHugeBodiesAreRefused) {
  const std::string deep = std::string(65, '[') + std::string(65, ']');
  EXPECT_THAT(answered("/v1/completions", R"({"model": "base", "prompt": )" + deep + "}", 400)["error"]["message"],
              HasSubstr("64"));
}

TEST_F(ApiTest, TheDocumentDescribesEachRoute) {
  const json document = got("/openapi.json", 200, "");
  EXPECT_EQ(document["openapi"], "3.1.0");
  for (const char* path :
       {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/classify"}) {
    const json& post = document["paths"][path]["post"];
    const json& schema = post["requestBody"]["content"]["application/json"]["schema"];
    EXPECT_EQ(schema["additionalProperties"], false) << path;
    EXPECT_TRUE(schema["properties"].contains("model")) << path;
    EXPECT_TRUE(post["responses"].contains("200")) << path;
  }
  EXPECT_TRUE(document["paths"]["/v1/models/{model}"].contains("delete"));
}

/// Replies and streams of every kind, for tests/serve/check_openai.py, which reads them with openai's own types.
TEST_F(ApiTest, WritesRepliesForOpenai) {
  const char* folder = std::getenv("LORAXS_ORACLES");
  if (folder == nullptr) GTEST_SKIP() << "LORAXS_ORACLES names no folder";
  std::filesystem::create_directories(folder);
  json dump = json::object();
  const auto whole = [&](const char* name, const std::string& path, const std::string& body) {
    dump[name].push_back(answered(path, body));
  };
  const auto stream = [&](const char* name, const std::string& path, const std::string& body, bool done = true) {
    for (json& chunk : chunks_of(*streamed(path, body), done)) dump[name].push_back(std::move(chunk));
  };
  whole("chat", kChatPath, chat_with(""));
  whole("chat", kChatPath, chat_with(R"("n": 2, "logprobs": true, "top_logprobs": 2)"));
  stream("chat_chunk", kChatPath,
         chat_with(R"("stream": true, "logprobs": true, "stream_options": {"include_usage": true})"));
  whole("completion", kTextPath, R"({"model": "base", "prompt": "ab"})");
  whole("completion", kTextPath, R"({"model": "base", "prompt": "ab", "echo": true, "logprobs": 2})");
  stream("completion_chunk", kTextPath, R"({"model": "base", "prompt": "ab", "stream": true})");
  whole("response", "/v1/responses", R"({"model": "base", "input": "hi"})");
  stream("response_event", "/v1/responses", R"({"model": "base", "input": "hi", "stream": true})", false);
  dump["openapi"].push_back(got("/openapi.json", 200, ""));
  dump["models"].push_back(got("/v1/models"));
  dump["model"].push_back(got("/v1/models/anna/support"));
  dump["deleted"].push_back(reply_of(*server_.send("DELETE", "/v1/models/anna/support")));
  server_.engine.decoder = false;
  whole("embedding", "/v1/embeddings", R"({"model": "base", "input": ["a", "b"]})");
  std::ofstream(std::string(folder) + "/openai_replies.json") << json_text(dump);
}

}  // namespace
}  // namespace loraxs
