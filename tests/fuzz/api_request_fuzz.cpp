// Requests to the API: whatever the body is, there is one whole answer, none is the server's fault, and nothing is left
// behind. The first byte chooses the route and whether the client leaves early.
#include <array>
#include <cstdlib>

#include "support/fake_serving.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  static constexpr std::array kPaths = {"/v1/chat/completions", "/v1/completions",      "/v1/responses",
                                        "/v1/embeddings",       "/v1/classify",         "/tokenize",
                                        "/detokenize",          "/v1/load_lora_adapter"};
  if (size == 0) return 0;
  test::FakeServer server;
  const size_t route = data[0] % kPaths.size();
  server.engine.decoder = route != 3 && route != 4;
  server.engine.at_once = (data[0] & 0x40U) != 0;
  const auto exchange =
      server.send("POST", kPaths[route], std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  const bool leaves = (data[0] & 0x80U) != 0;
  if (leaves) exchange->leave();
  server.engine.run();
  if (server.gate.open != 0 || server.log.size() != 1) std::abort();
  for (const HttpReply& reply : exchange->replies) {
    if (reply.status >= 500) std::abort();
    if (reply.content_type == "application/json" && json_or_null(reply.body).is_null()) std::abort();
  }
  for (const test::SentEvent& event : exchange->events) {
    if (event.data != "[DONE]" && json_or_null(event.data).is_null()) std::abort();
  }
  if (exchange->begun != exchange->ended && !leaves) std::abort();
  if (static_cast<int>(exchange->replies.size()) + exchange->begun > 1) std::abort();
  if (!leaves && exchange->replies.empty() && exchange->begun == 0) std::abort();
  return 0;
}
