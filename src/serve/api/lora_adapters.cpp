// /v1/load_lora_adapter and /v1/unload_lora_adapter: vLLM's names for pinning and unpinning a stored adapter.
#include "serve/api/route.h"

namespace loraxs {
namespace {

BodyFields lora_fields() {
  using K = FieldKind;
  return {{"lora_name", K::kText, "a stored adapter: \"anna/support\"", 0, 0, "", true},
          {"lora_path", K::kOther, "nothing, or the same name: the server reads no files for its clients", 0, 0,
           R"({"type":"null"})"},
          {"lora_int_id", K::kIgnored, "accepted; changes nothing"},
          {"load_inplace", K::kIgnored, "accepted; changes nothing"}};
}

std::string named_adapter(Call& call) {
  Body body(parse_body(call.request().body), lora_fields());
  std::string name = body.text("lora_name");
  if (body.has("lora_path") && body.text("lora_path") != name) {
    body.fail("lora_path",
              concat("expected nothing, or the name of the stored adapter, ", shown_value(name), ", found ",
                     shown_value(body.text("lora_path")), "; the server reads no files for its clients"));
  }
  call.model = call.engine().find(call.caller, name)->id;
  return name;
}

void keep(const CallPtr& call, bool pinned) {
  const std::string name = named_adapter(*call);
  call->engine().keep(call->caller, name, pinned);
  call->reply(HttpReply{
      .body = concat("Success: LoRA adapter '", printable(name), "' ", pinned ? "added" : "removed", " successfully."),
      .content_type = "text/plain; charset=utf-8"});
}

}  // namespace

std::vector<Route> lora_adapter_routes() {
  return {{.method = "POST",
           .path = "/v1/load_lora_adapter",
           .right = Right::kManage,
           .handle = [](const CallPtr& call) { keep(call, true); },
           .summary = "Brings a stored adapter in and keeps it there.",
           .body = lora_fields,
           .answer_type = "text/plain"},
          {.method = "POST",
           .path = "/v1/unload_lora_adapter",
           .right = Right::kManage,
           .handle = [](const CallPtr& call) { keep(call, false); },
           .summary = "Lets it go; it stays in the store.",
           .body = lora_fields,
           .answer_type = "text/plain"}};
}

}  // namespace loraxs
